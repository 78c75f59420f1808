"""Has the files in packaging/ judged by parsers and schemas, and takes the shell scripts out of them.

usage: check.py PACKAGING SCRIPTS

- cfn-lint: the association's template; of the SSM document it knows the version alone
- python-hcl2: what the Terraform files say of the metadata service
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


def terraform(packaging):
    main = hcl2.loads((packaging / "terraform/main.tf").read_text())
    text = json.dumps(main)
    (resource,) = (entry['"aws_instance"'] for entry in main["resource"] if '"aws_instance"' in entry)
    ((_, instance),) = ((name, body) for name, body in resource.items() if not name.startswith("__"))
    (options,) = instance["metadata_options"]
    assert options["http_tokens"] == '"required"', options
    assert options["http_put_response_hop_limit"] == 1, options
    assert options["http_endpoint"] == '"enabled"', options
    # What is named is there.
    file = re.fullmatch(r'\$\{file\("\$\{path\.module\}/(.*)"\)\}', instance["user_data"])
    assert (packaging / "terraform" / file[1]).read_text().startswith("#cloud-config\n"), instance["user_data"]
    role = hcl2.loads((packaging / "terraform/role.tf").read_text())
    defined = {f"{kind}.{name}".replace('"', "") for entry in role["resource"] for kind, body in entry.items() for name in body}
    for named in re.findall(r"aws_iam_\w+\.\w+", text):
        assert named in defined, f"{named} is not in role.tf, which has {defined}"
    for named in re.findall(r"var\.(\w+)", text):
        assert any(f'"{named}"' in variable for variable in main["variable"]), f"there is no variable {named}"


def main(packaging, folder):
    terraform(packaging)
    scripts = ssm(packaging) | image_builder(packaging)
    for name, script in scripts.items():
        text = re.sub(r"\{\{ (\w+) \}\}", lambda parameter: VALUES[parameter[1]], script)
        (folder / name).write_text(text + "\n")
    print(f"packaging: {len(scripts)} embedded scripts; cfn-lint and python-hcl2 are content")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
