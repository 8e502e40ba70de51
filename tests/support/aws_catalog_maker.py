"""Makes the data of the catalogue of AWS services and regions: python -m tests.support.aws_catalog_maker.

botocore is its source, and no dependency of the package: the package holds what this writes, as a module, so that
looking up a name reads no file.
"""

from __future__ import annotations

import gzip
import json
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

_INSTALLED = find_spec("botocore")
needs_botocore = pytest.mark.skipif(
    _INSTALLED is None, reason="botocore is not installed: pip install 'patchwire[peers]'"
)

TARGET: Final = Path(__file__).parents[2] / "src/patchwire/auth/aws_catalog_data.py"

Entry = tuple[str, ...]

WITHOUT_A_CLIENT: Final[tuple[Entry, ...]] = (
    # (name, signing name, endpoint prefix, label) of what users sign for and botocore has no client for.
    # Data planes, whose clients are the users' own:
    ("aoss", "aoss", "aoss", "Amazon OpenSearch Serverless Collections"),
    ("aps", "aps", "aps-workspaces", "Amazon Managed Service for Prometheus Workspaces"),
    ("execute-api", "execute-api", "execute-api", "Amazon API Gateway Deployed APIs"),
    ("iotdata", "iotdata", "data.iot", "AWS IoT Core Data"),
    ("iotdevicegateway", "iotdevicegateway", "data-ats.iot", "AWS IoT Core Device Gateway"),
    ("neptune-db", "neptune-db", "neptune-db", "Amazon Neptune Databases"),
    ("vpc-lattice-svcs", "vpc-lattice-svcs", "vpc-lattice-svcs", "Amazon VPC Lattice Services"),
    # Parts of S3 with a signing name of their own, which botocore reaches through its client for s3:
    ("s3-object-lambda", "s3-object-lambda", "s3-object-lambda", "Amazon S3 Object Lambda"),
    ("s3-outposts", "s3-outposts", "s3-outposts", "Amazon S3 on Outposts Access Points"),
    ("s3express", "s3express", "s3express-control", "Amazon S3 Express One Zone"),
    # Bidirectional streams, which botocore does not speak; endpoints.json has its endpoints:
    ("transcribestreaming", "transcribe", "transcribestreaming", "Amazon Transcribe Streaming"),
    # Retired, and its client with it; endpoints.json still has its endpoint, and older connections name it:
    ("mobileanalytics", "mobileanalytics", "mobileanalytics", "Amazon Mobile Analytics"),
)

UNSIGNED: Final = frozenset({"importexport"})
"""Clients whose service takes no version 4 signature, beside those that botocore itself says take a bearer token."""

ANYWHERE: Final = frozenset({"budgets", "cloudfront", "importexport", "s3", "sts"})
"""Global hosts that say nothing sure about the region to sign for: they take signatures for others, or lead on."""

DNS_SUFFIXES: Final = {"aws": ("on.aws",)}
"""What no file of botocore has: function URLs and VPC Lattice services are below on.aws."""

LABELS: Final = {
    "accessanalyzer": "IAM Access Analyzer",
    "account": "AWS Account Management",
    "acm-pca": "AWS Private Certificate Authority",
    "amp": "Amazon Managed Service for Prometheus",
    "amplifybackend": "AWS Amplify Backend",
    "apigatewaymanagementapi": "Amazon API Gateway Management API",
    "apigatewayv2": "Amazon API Gateway V2",
    "apiportal": "Amazon API Gateway Portals",
    "appconfig": "AWS AppConfig",
    "appfabric": "AWS AppFabric",
    "appflow": "Amazon AppFlow",
    "appintegrations": "Amazon AppIntegrations",
    "arc-region-switch": "Amazon Application Recovery Controller Region Switch",
    "arc-zonal-shift": "Amazon Application Recovery Controller Zonal Shift",
    "autoscaling": "Amazon EC2 Auto Scaling",
    "autoscaling-plans": "AWS Auto Scaling",
    "billingconductor": "AWS Billing Conductor",
    "braket": "Amazon Braket",
    "ce": "AWS Cost Explorer",
    "cleanrooms": "AWS Clean Rooms",
    "clouddirectory": "Amazon Cloud Directory",
    "cloudhsm": "AWS CloudHSM Classic",
    "cloudhsmv2": "AWS CloudHSM",
    "cloudtrail-data": "AWS CloudTrail Data",
    "cloudwatchomni": "Amazon CloudWatch Omni",
    "codeartifact": "AWS CodeArtifact",
    "codestar-connections": "AWS CodeStar Connections",
    "comprehendmedical": "Amazon Comprehend Medical",
    "compute-optimizer-automation": "AWS Compute Optimizer Automation",
    "connect": "Amazon Connect",
    "connectcampaigns": "Amazon Connect Campaigns",
    "connectcampaignsv2": "Amazon Connect Campaigns V2",
    "connecthealth": "Amazon Connect Health",
    "connectparticipant": "Amazon Connect Participant",
    "cost-optimization-hub": "AWS Cost Optimization Hub",
    "cur": "AWS Cost and Usage Report",
    "dax": "Amazon DynamoDB Accelerator",
    "deadline": "AWS Deadline Cloud",
    "devops-agent": "AWS DevOps Agent",
    "docdb": "Amazon DocumentDB",
    "drs": "AWS Elastic Disaster Recovery",
    "ec2": "Amazon EC2",
    "ec2-instance-connect": "Amazon EC2 Instance Connect",
    "ecs": "Amazon Elastic Container Service",
    "elbv2": "Elastic Load Balancing V2",
    "emr-containers": "Amazon EMR on EKS",
    "emr-serverless": "Amazon EMR Serverless",
    "entityresolution": "AWS Entity Resolution",
    "eventbridgev2": "Amazon EventBridge V2",
    "firehose": "Amazon Data Firehose",
    "fis": "AWS Fault Injection Service",
    "fms": "AWS Firewall Manager",
    "forecast": "Amazon Forecast",
    "forecastquery": "Amazon Forecast Query",
    "greengrass": "AWS IoT Greengrass",
    "health": "AWS Health",
    "iam-toolbox": "IAM Toolbox",
    "identitystore": "AWS IAM Identity Center Identity Store",
    "inspector": "Amazon Inspector Classic",
    "inspector-scan": "Amazon Inspector Scan",
    "inspector2": "Amazon Inspector",
    "iot": "AWS IoT Core",
    "ivs-realtime": "Amazon Interactive Video Service Real-Time",
    "kafka": "Amazon Managed Streaming for Apache Kafka",
    "kafkaconnect": "Amazon MSK Connect",
    "kendra": "Amazon Kendra",
    "kinesis": "Amazon Kinesis Data Streams",
    "kinesisanalyticsv2": "Amazon Managed Service for Apache Flink",
    "lambda-microvms": "AWS Lambda MicroVMs",
    "lambda-web": "AWS Lambda Web",
    "m2": "AWS Mainframe Modernization",
    "macie2": "Amazon Macie",
    "mailmanager": "Amazon SES Mail Manager",
    "mediaconnect": "AWS Elemental MediaConnect",
    "mediatailor": "AWS Elemental MediaTailor",
    "medical-imaging": "AWS HealthImaging",
    "meteringmarketplace": "AWS Marketplace Metering Service",
    "mgn": "AWS Application Migration Service",
    "migrationhubstrategy": "AWS Migration Hub Strategy Recommendations",
    "mq": "Amazon MQ",
    "mwaa": "Amazon Managed Workflows for Apache Airflow",
    "mwaa-serverless": "Amazon Managed Workflows for Apache Airflow Serverless",
    "neptune-graph": "Amazon Neptune Analytics",
    "neptunedata": "Amazon Neptune Data",
    "network-security-manager": "AWS Network Security Manager",
    "networkflowmonitor": "Amazon CloudWatch Network Flow Monitor",
    "nova-act": "Amazon Nova Act",
    "oam": "Amazon CloudWatch Observability Access Manager",
    "observabilityadmin": "Amazon CloudWatch Observability Admin",
    "odb": "Oracle Database@AWS",
    "omics": "AWS HealthOmics",
    "opensearchserverless": "Amazon OpenSearch Serverless",
    "payment-cryptography": "AWS Payment Cryptography Control Plane",
    "payment-cryptography-data": "AWS Payment Cryptography Data Plane",
    "pca-connector-ad": "AWS Private CA Connector for Active Directory",
    "pca-connector-scep": "AWS Private CA Connector for SCEP",
    "pinpoint-sms-voice": "Amazon Pinpoint SMS and Voice",
    "pinpoint-sms-voice-v2": "AWS End User Messaging SMS",
    "pricing": "AWS Price List",
    "pricing-plan-manager": "AWS Pricing Plan Manager",
    "qapps": "Amazon Q Apps",
    "qbusiness": "Amazon Q Business",
    "qconnect": "Amazon Q in Connect",
    "rds-data": "Amazon RDS Data API",
    "redshift-data": "Amazon Redshift Data API",
    "redshift-serverless": "Amazon Redshift Serverless",
    "rolesanywhere": "AWS IAM Roles Anywhere",
    "route53-recovery-cluster": "Amazon Route 53 Recovery Cluster",
    "route53-recovery-control-config": "Amazon Route 53 Recovery Control Config",
    "route53-recovery-readiness": "Amazon Route 53 Recovery Readiness",
    "route53profiles": "Amazon Route 53 Profiles",
    "rtbfabric": "AWS RTB Fabric",
    "rum": "Amazon CloudWatch RUM",
    "s3": "Amazon S3",
    "s3control": "Amazon S3 Control",
    "sagemaker": "Amazon SageMaker",
    "sagemaker-edge": "Amazon SageMaker Edge Manager",
    "sagemaker-metrics": "Amazon SageMaker Metrics",
    "sagemakerjobruntime": "Amazon SageMaker Job Runtime",
    "sagemakertrainingsessionruntime": "Amazon SageMaker Training Session Runtime",
    "schemas": "Amazon EventBridge Schemas",
    "security-ir": "AWS Security Incident Response",
    "securityhub": "AWS Security Hub",
    "serverlessrepo": "AWS Serverless Application Repository",
    "servicecatalog-appregistry": "AWS Service Catalog AppRegistry",
    "sesv2": "Amazon Simple Email Service V2",
    "signin": "AWS Sign-In",
    "sms-voice": "Amazon Pinpoint SMS and Voice Service",
    "snowball": "AWS Snowball",
    "ssm": "AWS Systems Manager",
    "ssm-guiconnect": "AWS Systems Manager GUI Connect",
    "ssm-quicksetup": "AWS Systems Manager Quick Setup",
    "sso": "AWS IAM Identity Center Portal",
    "sso-admin": "AWS IAM Identity Center",
    "sso-oidc": "AWS IAM Identity Center OIDC",
    "support-app": "AWS Support App in Slack",
    "synthetics": "Amazon CloudWatch Synthetics",
    "taxsettings": "AWS Tax Settings",
    "timestream-influxdb": "Amazon Timestream for InfluxDB",
    "transcribe": "Amazon Transcribe",
    "trustedadvisor": "AWS Trusted Advisor",
    "waf": "AWS WAF Classic",
    "waf-regional": "AWS WAF Classic Regional",
    "wafv2": "AWS WAF",
    "wickr": "AWS Wickr",
    "workspaces-instances": "Amazon WorkSpaces Instances",
    "workspaces-web": "Amazon WorkSpaces Secure Browser",
}
"""The human name where botocore's own is an identifier, is out of date, or is that of another service too."""

HEADER: Final = '''\
"""The AWS services, regions and partitions, as data. Written by a script: change the script, not this module."""

# Made by tests/support/aws_catalog_maker.py from botocore {version} on {date}.

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Final
'''


def botocore_data() -> Path:
    """The folder with the data files of the botocore that is installed."""
    assert _INSTALLED is not None and _INSTALLED.origin is not None, "botocore is not installed"
    return Path(_INSTALLED.origin).parent / "data"


def document(path: Path) -> Any:
    """What a data file holds, whether it is packed or not."""
    packed = path.with_name(path.name + ".gz")
    return json.loads(gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes())


def newest(client: str, file: str) -> Any:
    """The file of this name in the newest version of a client's data."""
    return document(max((botocore_data() / client).glob(f"*/{file}*")).parent / file)


def clients() -> list[str]:
    """The names of botocore's clients."""
    return sorted({path.parts[-3] for path in botocore_data().glob("*/*/service-2.json*")})


def services() -> list[Entry]:
    """(name, signing name, endpoint prefix, label) of each service that takes a signature."""
    found = list(WITHOUT_A_CLIENT)
    for name in clients():
        about = newest(name, "service-2.json")["metadata"]
        if about.get("signatureVersion") == "bearer" or name in UNSIGNED:
            continue
        prefix = about["endpointPrefix"]
        found.append((name, about.get("signingName", prefix), prefix, LABELS.get(name, about["serviceFullName"])))
    return sorted(found)


def partitions() -> list[dict[str, Any]]:
    """The partitions as endpoints.json has them."""
    return list(document(botocore_data() / "endpoints.json")["partitions"])


def regions() -> list[Entry]:
    """(name, label, partition) of each region in which services run."""
    outputs = {
        name: (about["description"], each["id"])
        for each in document(botocore_data() / "partitions.json")["partitions"]
        for name, about in each["regions"].items()
        if not name.endswith("-global")
    }
    for each in partitions():
        outputs |= {name: (about["description"], each["partition"]) for name, about in each["regions"].items()}
    return sorted((name, unshouted(label), partition) for name, (label, partition) in outputs.items())


def unshouted(label: str) -> str:
    """The label of a region with its compass point in small letters: some partitions shout it."""
    return " ".join(word.capitalize() if word in {"EAST", "SOUTH", "WEST"} else word for word in label.split())


def dns_suffixes() -> list[Entry]:
    """(partition, suffix, ...): below which suffixes the hosts of a partition are."""
    found: dict[str, set[str]] = {}
    for each in document(botocore_data() / "partitions.json")["partitions"]:
        outputs = each["outputs"]
        suffixes = {outputs["dnsSuffix"], outputs["dualStackDnsSuffix"], *DNS_SUFFIXES.get(each["id"], ())}
        found[each["id"]] = suffixes
    return sorted((name, *sorted(suffixes)) for name, suffixes in found.items())


def global_hosts() -> list[Entry]:
    """(host, endpoint prefix, region to sign for) of the services that have one host in a partition."""
    found = []
    for each in partitions():
        for prefix, about in each["services"].items():
            endpoint = about["endpoints"].get(about.get("partitionEndpoint"), {})
            host, region = endpoint.get("hostname"), endpoint.get("credentialScope", {}).get("region")
            if host and region and f".{region}." not in host and prefix not in ANYWHERE:
                found.append((host, prefix, region))
    return sorted(found)


def literal(entry: Entry) -> str:
    """The entry in double quotes, on one line."""
    return "(" + ", ".join(json.dumps(value) for value in entry) + ")"


def table(name: str, shape: str, about: str, entries: list[Entry]) -> str:
    """A constant with one entry a line."""
    lines = "".join(f"    {literal(entry)},\n" for entry in entries)
    return f'\n{name}: Final[tuple[tuple[{shape}], ...]] = (\n{lines})\n"""{about}"""\n'


def module(date: str) -> str:
    """The source of the module, made of the botocore that is installed."""
    return (
        HEADER.format(version=version("botocore"), date=date)
        + table("SERVICES", "str, str, str, str", "(name, signing name, endpoint prefix, label)", services())
        + table("REGIONS", "str, str, str", "(name, label, partition)", regions())
        + table("PARTITIONS", "str, ...", "(partition, DNS suffix of its hosts, ...)", dns_suffixes())
        + table("GLOBAL_HOSTS", "str, str, str", "(host, endpoint prefix, region to sign for)", global_hosts())
    )


if __name__ == "__main__":
    TARGET.write_text(module(time.strftime("%Y-%m-%d", time.gmtime())), encoding="ascii")
