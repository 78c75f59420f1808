"""Has the files in packaging/ judged by parsers and schemas, and takes the shell scripts out of them.

usage: check.py PACKAGING SCRIPTS

- cfn-lint: the association's template; of the SSM document it knows the version alone
- python-hcl2: what the Terraform module and the Packer template say of the metadata service
- the documented form of Command documents and of EC2 Image Builder's components: there is no schema of them to be had,
  so what is used is held against what is known to be right

Each embedded script is written to SCRIPTS, with VALUES for its parameters: the cases run them, shellcheck reads them.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import hcl2
import yaml


VALUES = {"Package": "s3://bucket/ip-lockdown.deb", "Users": "root"}


def cfn_lint(name, template):
    """What cfn-lint says of the template; nothing if it is content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(template)
        command = [Path(sys.executable).parent / "cfn-lint", path]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout if done.returncode else ""


def document_lint(content):
    """The same of the content of an SSM document: cfn-lint knows the schema of what is in such a resource."""
    resource = {"Type": "AWS::SSM::Document", "Properties": {"DocumentType": "Command", "Content": content}}
    return cfn_lint("document.json", json.dumps({"Resources": {"Document": resource}}))


def ssm(packaging):
    """The scripts of the document, which the association fits."""
    association = (packaging / "ssm/association.yaml").read_text()
    assert cfn_lint("bad.yaml", association.replace("CRITICAL", "DIRE")), "cfn-lint takes a severity that there is not"
    complaints = cfn_lint("association.yaml", association)
    assert not complaints, complaints

    document = yaml.safe_load((packaging / "ssm/document.yaml").read_text())
    assert document_lint(document | {"schemaVersion": "2.1"}), "cfn-lint takes a version that there is not"
    complaints = document_lint(document)
    assert not complaints, complaints
    assert set(document) == {"schemaVersion", "description", "parameters", "mainSteps"}
    assert document["schemaVersion"] == "2.2"
    for parameter in document["parameters"].values():
        assert set(parameter) == {"type", "description", "default", "allowedPattern"} and parameter["type"] == "String"
    for step in document["mainSteps"]:
        assert set(step) == {"action", "name", "precondition", "inputs"} and step["action"] == "aws:runShellScript", step
        assert set(step["inputs"]) == {"timeoutSeconds", "runCommand"}, step
        assert all(isinstance(line, str) for line in step["inputs"]["runCommand"]), step
        used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(step)))
        assert used <= set(document["parameters"]), f"{step['name']}: {used} are not all parameters"

    given = set(re.findall(r"^        (\w+):$", association.split("      Parameters:\n")[1].split("      Schedule")[0], re.M))
    assert given == set(document["parameters"]), f"the association gives {given}"
    patterns = {name: parameter["allowedPattern"] for name, parameter in document["parameters"].items()}
    for name, parameter in document["parameters"].items():
        assert re.search(patterns[name], parameter["default"]), f"{name}: its default is not allowed"
    for name, value in [("Users", "root; id"), ("Users", "$(id)"), ("Users", "a\nid"), ("Package", "s3://a/b'.deb"), ("Package", "x.deb")]:
        assert not re.search(patterns[name], value), f"{name} takes {value!r}"
    for name, value in [("Users", "root"), ("Users", "root 1000-1099 cwagent"), ("Package", "s3://bucket/a/b_1.0-1_amd64.deb")]:
        assert re.search(patterns[name], value), f"{name} does not take {value!r}"
    return {f"ssm-{step['name']}": "\n".join(step["inputs"]["runCommand"]) for step in document["mainSteps"]}


# Of the actions of components, those that are used, with their inputs.
ACTIONS = {"ExecuteBash": {"commands"}, "S3Download": {"source", "destination"}}


def image_builder(packaging):
    component = yaml.safe_load((packaging / "image-builder/component.yaml").read_text())
    assert set(component) == {"name", "description", "schemaVersion", "parameters", "phases"}
    assert component["schemaVersion"] == 1.0
    names = set()
    for parameter in component["parameters"]:
        ((name, definition),) = parameter.items()
        names.add(name)
        assert set(definition) <= {"type", "default", "description"} and definition["type"] == "string", definition
    scripts = {}
    assert [phase["name"] for phase in component["phases"]] == ["build", "validate", "test"]
    for phase in component["phases"]:
        assert set(phase) == {"name", "steps"}
        assert len({step["name"] for step in phase["steps"]}) == len(phase["steps"])
        for step in phase["steps"]:
            assert set(step) == {"name", "action", "inputs"}, step
            inputs = step["inputs"] if isinstance(step["inputs"], list) else [step["inputs"]]
            # Downloads are a list, commands are not.
            assert isinstance(step["inputs"], list) == (step["action"] == "S3Download"), step
            for entry in inputs:
                assert set(entry) == ACTIONS[step["action"]], step
            used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(inputs)))
            assert used <= names, f"{step['name']}: {used - names} is no parameter"
            if step["action"] == "ExecuteBash":
                scripts[f"image-builder-{phase['name']}-{step['name']}"] = "\n".join(inputs[0]["commands"])
            else:
                # What the Task Orchestrator does by itself.
                assert inputs == [{"source": "{{ Package }}", "destination": "/tmp/ip-lockdown.package"}], inputs
    return scripts


def blocks(document, kind):
    """The blocks of a kind by their last label, without python-hcl2's own entries."""
    found = {}
    for entry in document.get(kind, []):
        for label, body in entry.items():
            inner = [(name, value) for name, value in body.items() if not name.startswith("__")]
            if kind == "resource":
                ((label, body),) = inner
            found[label.strip('"')] = body
    return found


def terraform(packaging):
    """The module: what it says of the metadata service, its variables and outputs, and the user-data."""
    folder = packaging / "terraform"
    files = {path.name: path.read_text() for path in folder.glob("*.tf")}
    parsed = {name: hcl2.loads(text) for name, text in files.items()}
    text = json.dumps(parsed)
    (instance,) = (entry['"aws_instance"']['"locked"'] for entry in parsed["main.tf"]["resource"] if '"aws_instance"' in entry)
    (options,) = instance["metadata_options"]
    assert options["http_tokens"] == '"required"', options
    assert options["http_put_response_hop_limit"] == 1, options
    assert options["http_endpoint"] == '"enabled"', options

    # Two of them can be in one account.
    for name, content in files.items():
        for line in re.findall(r"^  name += .*", content, re.M):
            assert "var.name" in line or "imdsv2-guard" in line, f"{name}: a fixed name: {line}"

    variables, outputs = blocks(parsed["variables.tf"], "variable"), blocks(parsed["outputs.tf"], "output")
    assert {name for name, body in variables.items() if "default" not in body} == {"name", "ami", "subnet_id"}
    used = set(re.findall(r"var\.(\w+)", re.sub(r"#.*", "", "\n".join(files.values()))))
    assert used == set(variables), f"used {used}, declared {set(variables)}"
    readme = (folder / "README.md").read_text()
    for name in [*variables, *outputs]:
        assert f"`{name}`" in readme, f"README.md does not mention {name}"
    for name, body in outputs.items():
        assert re.search(r"aws_\w+\.locked\.\w+|local\.user_data", body["value"]), f"output {name}: {body}"

    defined = set()
    for document in parsed.values():
        for entry in document.get("resource", []):
            defined |= {f"{kind}.{name}".replace('"', "") for kind, body in entry.items() for name in body}
    for named in re.findall(r"aws_\w+\.locked", text):
        assert named in defined, f"{named} is not defined; there are {defined}"

    # The user-data is that of packaging/cloud-init, for other users.
    config = yaml.safe_load((packaging / "cloud-init/cloud-config.yaml").read_text())
    (command,) = config["bootcmd"]
    prefix = json.loads(re.search(r"lock = concat\(\s*(\[.*?\]),\s*var\.users,\s*\)", files["main.tf"], re.S)[1])
    assert [*prefix, "root"] == command, f"{prefix}, cloud-config.yaml has {command}"
    assert '#cloud-config\\n${yamlencode({ bootcmd = [local.lock] })}' in files["main.tf"]


def packer(packaging):
    """Newer versions of the Amazon plugin than Debian's Packer has: what packer validate cannot read there."""
    (source,) = (
        entry['"amazon-ebs"']['"locked"']
        for entry in hcl2.loads((packaging / "packer/ip-lockdown.pkr.hcl").read_text())["source"]
        if '"amazon-ebs"' in entry
    )
    assert source["imds_support"] == '"v2.0"', source
    (options,) = source["metadata_options"]
    assert options["http_tokens"] == '"required"', options


def main(packaging, folder):
    terraform(packaging)
    packer(packaging)
    scripts = ssm(packaging) | image_builder(packaging)
    for name, script in scripts.items():
        text = re.sub(r"\{\{ (\w+) \}\}", lambda parameter: VALUES[parameter[1]], script)
        (folder / name).write_text(text + "\n")
    print(f"packaging: {len(scripts)} embedded scripts; cfn-lint and python-hcl2 are content")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
