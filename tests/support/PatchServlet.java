import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Base64;

/** Writes a line for each request into the file that is its parameter, and only then answers 200. */
public class PatchServlet extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        byte[] body = request.getInputStream().readAllBytes();
        String query = request.getQueryString();
        String target = request.getRequestURI() + (query == null ? "" : "?" + query);
        String user = request.getRemoteUser() == null ? "" : request.getRemoteUser();
        String name = encoded(user.getBytes(StandardCharsets.UTF_8));
        String line = String.join(" ", request.getMethod(), target, name, encoded(body));
        synchronized (this) {
            Path file = Path.of(getInitParameter("file"));
            Files.writeString(file, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
        response.setContentType("application/json");
        response.getOutputStream().write("{}".getBytes(StandardCharsets.US_ASCII));
    }

    private static String encoded(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
