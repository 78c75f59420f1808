"""Has what `ip-lockdown trust-policy` builds judged by tools that know nothing of it.

usage: judge.py PROGRAM

- moto, a model of AWS's API: creates each role from its trust policy, and each further policy
- cfn-lint: every CloudFormation template is without error and without warning
- PyYAML and python-hcl2: the documents in the templates and in Terraform are those of the JSON format

Each judge is first shown something bad, which it has to refuse: a judge that takes everything is none.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import hcl2
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

WORDS = Path(__file__).parent / "presets.txt"
GUARDS = ["imdsv2", "same-vpc", "same-instance", "launch"]


def run(program, words):
    """What the program prints; it has to end with 0."""
    command = [program, "trust-policy", *words.split()]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def documents(text):
    """The JSON documents that stand behind each other in the text."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def create_role(iam, name, trust):
    text = json.dumps(trust, indent=2)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=text)
    # Of the two, moto has only this one look at the document.
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=text)


def create_policy(iam, name, document):
    iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document, indent=2))


def refused(create, iam, document):
    try:
        create(iam, "bad", document)
    except ClientError:
        return True
    return False


def lint(templates):
    """What cfn-lint says of the templates by their names; nothing if it is content."""
    with tempfile.TemporaryDirectory() as folder:
        for name, template in templates.items():
            (Path(folder) / f"{name}.yaml").write_text(template)
        command = [Path(sys.executable).parent / "cfn-lint", f"{folder}/*.yaml"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout if done.returncode else ""


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's !Ref."""


Loader.add_constructor("!Ref", lambda loader, node: {"Ref": loader.construct_scalar(node)})


def of_template(template):
    """The documents of a CloudFormation template, in the order of the JSON format."""
    role = yaml.load(template, Loader)["Resources"]["Role"]["Properties"]
    return [role["AssumeRolePolicyDocument"], *(policy["PolicyDocument"] for policy in role.get("Policies", []))]


def of_terraform(text):
    """The documents of Terraform's resources, in the order of the JSON format."""
    found = []
    for resource in hcl2.loads(text)["resource"]:
        for labels in resource.values():
            for arguments in labels.values():
                for argument in ("assume_role_policy", "policy"):
                    if argument in arguments:
                        inner = re.fullmatch(r"\$\{jsonencode\((.*)\)\}", arguments[argument], re.DOTALL)
                        found.append(plain(hcl2.loads(f"document = {inner[1]}\n")["document"]))
    return found


def plain(value):
    """A value of python-hcl2 without quotes, escapes and marks."""
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if value.startswith('"'):
        value = json.loads(value)
    return value.replace("$${", "${").replace("%%{", "%{")


def cases():
    lines = (line for line in WORDS.read_text().splitlines() if not line.startswith("#"))
    return [line.split(": ", 1) for line in lines]


def bad_things_are_refused(iam, program):
    trust = json.loads(run(program, "build"))
    trust["Statement"][0]["Resource"] = "*"
    assert refused(create_role, iam, trust), "moto takes a trust policy with a Resource"
    policy = json.loads(run(program, "guard imdsv2"))
    del policy["Statement"][0]["Resource"]
    assert refused(create_policy, iam, policy), "moto takes a policy without a Resource"
    template = run(program, "build --format cloudformation")
    assert lint({"bad": template.replace('"Allow"', '"Alow"')}), "cfn-lint takes an effect that there is not"
    terraform = run(program, "build --format terraform")
    try:
        hcl2.loads(terraform.replace("})", "}", 1))
    except Exception:  # python-hcl2 hands on whatever its parser raises.
        return
    raise AssertionError("python-hcl2 takes a parenthesis that is never closed")


@mock_aws
def main(program):
    iam = boto3.client("iam", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    bad_things_are_refused(iam, program)
    templates = {}
    for name, words in cases():
        trust, *further = built = documents(run(program, words))
        create_role(iam, name, trust)
        assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == trust, name
        for nth, document in enumerate(further):
            create_policy(iam, f"{name}-{nth}", document)
        for more, words_more in ((name, words), (f"{name}-named", f"{words} --name judged-{name}")):
            templates[more] = run(program, f"{words_more} --format cloudformation")
            assert of_template(templates[more]) == built, more
            assert of_terraform(run(program, f"{words_more} --format terraform")) == built, more
    assert len(templates) >= 24, f"only {len(templates)} roles were found in {WORDS}"
    complaints = lint(templates)
    assert not complaints, complaints
    for guard in GUARDS:
        create_policy(iam, guard, json.loads(run(program, f"guard {guard}")))
    print(f"judge: {len(templates)} roles in three formats and {len(GUARDS)} guards accepted by moto, cfn-lint, python-hcl2")


if __name__ == "__main__":
    main(sys.argv[1])
