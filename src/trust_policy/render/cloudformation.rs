//! CloudFormation: a whole template, in YAML. Every string is quoted as in JSON, which YAML takes
//! too: no version becomes a date, no account a number.

use super::quoted;
use crate::trust_policy::document::Tree;
use crate::trust_policy::preset::Role;

/// A template with the role, its policies, and its instance profile where instances need one.
pub(super) fn role(role: &Role) -> String {
    let name = |key: &str| {
        let name = role.name.as_ref()?;
        Some((key.to_owned(), Tree::text(name.as_str())))
    };
    let document = Some(("AssumeRolePolicyDocument".to_owned(), role.trust.tree()));
    let policies: Vec<Tree> = role
        .policies()
        .into_iter()
        .map(|(name, document)| {
            Tree::map([
                ("PolicyName", Tree::text(name)),
                ("PolicyDocument", document),
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

/// Writes a value behind its key, or its dash, in lines of this depth.
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
                        // The first key stands behind the dash, the others below it.
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
