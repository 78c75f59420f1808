//! CloudFormation: a template in YAML. Every string is quoted as in JSON, which is valid YAML:
//! otherwise a YAML parser would read a version as a date and an account as a number.

use crate::json::{Tree, quoted};
use crate::role::Role;

/// A template with the role, its policies, and an instance profile where the role trusts EC2.
pub(super) fn role(role: &Role) -> String {
    let name = |key: &str| {
        let name = role.name.as_ref()?;
        Some((key.to_owned(), Tree::text(name.as_str())))
    };
    let document = Some(("AssumeRolePolicyDocument".to_owned(), role.trust.tree()));
    let policies: Vec<Tree> = role
        .policies()
        .map(|(name, document)| {
            Tree::map([
                ("PolicyName", Tree::text(name)),
                ("PolicyDocument", document.tree()),
            ])
        })
        .collect();
    let policies = (!policies.is_empty()).then(|| ("Policies".to_owned(), Tree::List(policies)));
    let mut text = "AWSTemplateFormatVersion: \"2010-09-09\"\nResources:\n".to_owned();
    let properties = [name("RoleName"), document, policies];
    text += "  Role:\n    Type: AWS::IAM::Role\n    Properties:";
    yaml(
        &Tree::Map(properties.into_iter().flatten().collect()),
        3,
        &mut text,
    );
    if role.instance_profile {
        text += "  InstanceProfile:\n    Type: AWS::IAM::InstanceProfile\n    Properties:\n";
        if let Some((key, Tree::Text(name))) = name("InstanceProfileName") {
            text.extend(["      ", &key, ": ", &quoted(&name), "\n"]);
        }
        text += "      Roles:\n        - !Ref Role\n";
    }
    text
}

/// Writes a value after its key or dash; further lines have this depth.
fn yaml(tree: &Tree, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match tree {
        Tree::Text(text) => {
            out.extend([" ", &quoted(text), "\n"]);
        }
        Tree::List(items) => {
            out.push('\n');
            for item in items {
                out.extend([&indent, "-"]);
                match item {
                    Tree::Map(entries) => {
                        // The first key is on the line of the dash, the others are below it.
                        let mut block = String::new();
                        map(entries, depth + 1, &mut block);
                        out.push(' ');
                        out.push_str(block.trim_start());
                    }
                    _ => yaml(item, depth + 1, out),
                }
            }
        }
        Tree::Map(entries) => {
            out.push('\n');
            map(entries, depth, out);
        }
    }
}

fn map(entries: &[(String, Tree)], depth: usize, out: &mut String) {
    for (key, value) in entries {
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric());
        let key = if plain { key.clone() } else { quoted(key) };
        out.extend(["  ".repeat(depth), key, ":".to_owned()]);
        yaml(value, depth + 1, out);
    }
}
