//! Terraform: `jsonencode` of each document, laid out as `terraform fmt` does.

use crate::json::{Tree, quoted};
use crate::role::Role;

/// The role, its policies, and an instance profile where the role trusts EC2.
pub(super) fn role(role: &Role) -> String {
    let label = label(
        role.name
            .as_ref()
            .map_or(&role.purpose, |name| name.as_str()),
    );
    let name = role
        .name
        .as_ref()
        .map(|name| ("name", string(name.as_str())));
    let mut resources = vec![resource(
        "aws_iam_role",
        &label,
        [
            name.clone(),
            Some(("assume_role_policy", jsonencode(&role.trust.tree()))),
        ],
    )];
    for (policy, document) in role.policies() {
        resources.push(resource(
            "aws_iam_role_policy",
            &format!("{label}_{}", policy.replace('-', "_")),
            [
                Some(("name", string(policy))),
                Some(("role", format!("aws_iam_role.{label}.id"))),
                Some(("policy", jsonencode(&document.tree()))),
            ],
        ));
    }
    if role.instance_profile {
        let role = Some(("role", format!("aws_iam_role.{label}.name")));
        resources.push(resource("aws_iam_instance_profile", &label, [name, role]));
    }
    resources.join("\n")
}

fn resource<const N: usize>(
    kind: &str,
    label: &str,
    arguments: [Option<(&'static str, String)>; N],
) -> String {
    let arguments: Vec<_> = arguments
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    format!(
        "resource \"{kind}\" \"{label}\" {{\n{}}}\n",
        attributes(&arguments, 1)
    )
}

fn jsonencode(document: &Tree) -> String {
    format!("jsonencode({})", expression(document, 1))
}

/// A value that begins on a line of this depth.
fn expression(tree: &Tree, depth: usize) -> String {
    let end = "  ".repeat(depth);
    match tree {
        Tree::Text(text) => string(text),
        Tree::List(items) => {
            let mut list = "[\n".to_owned();
            for item in items {
                list.extend([&end, "  ", &expression(item, depth + 1), ",\n"]);
            }
            list + &end + "]"
        }
        Tree::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| (self::key(key), expression(value, depth + 1)))
                .collect();
            format!("{{\n{}{end}}}", attributes(&entries, depth + 1))
        }
    }
}

/// `key = value` lines, the equals signs of consecutive one-line values aligned.
fn attributes(entries: &[(String, String)], depth: usize) -> String {
    let mut out = String::new();
    for run in entries.chunk_by(|(_, one), (_, next)| !one.contains('\n') && !next.contains('\n')) {
        let width = run.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        for (key, value) in run {
            let key = format!("{key:width$}");
            out.extend(["  ".repeat(depth).as_str(), &key, " = ", value, "\n"]);
        }
    }
    out
}

/// A key: bare if it is an identifier, else quoted.
fn key(key: &str) -> String {
    if key.chars().all(|c| c.is_ascii_alphanumeric()) {
        key.to_owned()
    } else {
        string(key)
    }
}

/// A string. `${` and `%{` are escaped, so that Terraform finds no template in it.
fn string(text: &str) -> String {
    quoted(text).replace("${", "$${").replace("%{", "%%{")
}

/// An identifier made from a name.
fn label(name: &str) -> String {
    let label: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if label.starts_with(|c: char| c.is_ascii_alphabetic()) {
        label
    } else {
        format!("role_{label}")
    }
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn strings_contain_no_templates() {
        assert_eq!(
            string("${aws:username}%{if}$%"),
            r#""$${aws:username}%%{if}$%""#
        );
    }
}
