//! Strategies: any preset, any option, any text.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trust_policy::value::{
    AccountId, Audience, Branch, CircleCiId, ExternalId, Partition, ProviderArn, Repository,
    RoleArn, RoleName, ServiceName, Sid, Subject,
};
use trust_policy::{Oidc, Preset, RoleOptions};

pub(crate) fn partition() -> impl Strategy<Value = Partition> {
    select(vec![Partition::Aws, Partition::AwsCn, Partition::AwsUsGov])
}

fn parsed<T>(text: impl Strategy<Value = String>) -> impl Strategy<Value = T>
where
    T: std::str::FromStr + std::fmt::Debug,
    T::Err: std::fmt::Debug,
{
    text.prop_map(|text| text.parse().unwrap())
}

fn account() -> impl Strategy<Value = AccountId> {
    parsed("[0-9]{12}")
}

/// A known service, or a name that is like none of them or too short to be a misspelling.
fn service() -> impl Strategy<Value = ServiceName> {
    let known = [
        "ec2",
        "lambda",
        "ecs-tasks",
        "pods.eks.amazonaws.com",
        "rolesanywhere",
        "states.eu-west-1.amazonaws.com",
    ];
    parsed(prop_oneof![
        3 => select(known.to_vec()).prop_map(str::to_owned),
        1 => "qqqqq[a-z]{10,20}",
        1 => "zz[a-z]{0,2}",
        1 => Just("logs.cn-north-1.amazonaws.com.cn".to_owned()),
    ])
}

fn role_arn(partition: Partition) -> impl Strategy<Value = RoleArn> {
    parsed(
        "[0-9]{12}:role/([a-z]{1,9}/)?[A-Za-z0-9_+=,.@-]{1,20}"
            .prop_map(move |rest| format!("arn:{partition}:iam::{rest}")),
    )
}

fn uuid() -> impl Strategy<Value = CircleCiId> {
    parsed("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
}

fn oidc(partition: Partition) -> impl Strategy<Value = Oidc> {
    let branch = parsed::<Branch>("[A-Za-z0-9_#$%}>]{1,9}([/.-][A-Za-z0-9_+@]{1,9}){0,2}");
    let repository = parsed::<Repository>(prop_oneof![
        "[A-Za-z0-9-]{1,20}/[A-Za-z0-9._-]{1,20}",
        "[A-Za-z0-9-]{1,20}@[0-9]{1,9}/[A-Za-z0-9._-]{1,20}@[0-9]{1,9}",
    ]);
    let provider = "[0-9]{12}:oidc-provider/[a-z]{1,9}\\.example(/[A-Za-z0-9]{1,9})?/?";
    let provider = parsed::<ProviderArn>(
        provider.prop_map(move |rest| format!("arn:{partition}:iam::{rest}")),
    );
    // No policy variable and no placeholder; in an audience, no wildcard.
    let claim = parsed::<Subject>("[ -;=-z|-~]{0,20}[a-z][ -;=-z|-~]{0,20}");
    let audience = parsed::<Audience>("[ -)+-;=>@-z|-~]{0,20}[a-z][ -)+-;=>@-z|-~]{0,20}");
    prop_oneof![
        (account(), repository, branch).prop_map(|(account, repository, branch)| Oidc::GitHub {
            account,
            repository,
            branch
        }),
        (account(), uuid(), uuid()).prop_map(|(account, organization, project)| Oidc::CircleCi {
            account,
            organization,
            project
        }),
        (provider, audience, claim).prop_map(|(provider, audience, subject)| Oidc::Other {
            provider,
            audience,
            subject
        }),
    ]
}

/// A preset of this partition that names at least one principal, and not too many.
fn preset(partition: Partition) -> impl Strategy<Value = Preset> {
    let external_id = parsed::<ExternalId>("[A-Za-z0-9_+=,.@:/-]{2,100}");
    prop_oneof![
        vec(service(), 1..5).prop_map(Preset::Service),
        any::<bool>().prop_map(|with_permissions| Preset::ConsulCluster { with_permissions }),
        (vec(account(), 1..10), vec(role_arn(partition), 0..10))
            .prop_map(|(accounts, roles)| Preset::AutoDeploy { accounts, roles }),
        (vec(account(), 1..20), any::<bool>()).prop_map(|(accounts, with_permissions)| {
            Preset::SshGrunt {
                accounts,
                with_permissions,
            }
        }),
        (vec(account(), 1..3), external_id).prop_map(|(accounts, external_id)| {
            Preset::ThirdParty {
                accounts,
                external_id,
            }
        }),
        oidc(partition).prop_map(Preset::Oidc),
    ]
}

fn options(partition: Partition) -> impl Strategy<Value = RoleOptions> {
    let name = option::of(parsed::<RoleName>("[A-Za-z0-9_+=,.@-]{1,64}"));
    let sid = option::of(parsed::<Sid>("[A-Za-z0-9]{1,20}"));
    (name, sid, any::<bool>()).prop_map(move |(name, sid, with_guardrail)| RoleOptions {
        partition,
        name,
        sid,
        with_guardrail,
    })
}

/// A preset and options of the same partition.
pub(crate) fn request() -> impl Strategy<Value = (Preset, RoleOptions)> {
    partition().prop_flat_map(|partition| (preset(partition), options(partition)))
}

/// JSON made of the keys and values of trust policies, most of them where they have a meaning.
pub(crate) fn policy_like() -> impl Strategy<Value = String> {
    let word = select(vec![
        "Version",
        "2012-10-17",
        "Statement",
        "Effect",
        "Allow",
        "Deny",
        "Action",
        "sts:AssumeRole",
        "sts:*",
        "Principal",
        "AWS",
        "Service",
        "Federated",
        "Condition",
        "Bool",
        "BoolIfExists",
        "Null",
        "StringLike",
        "ForAllValues:StringEquals",
        "StringEquals",
        "ArnLike",
        "aws:MultiFactorAuthPresent",
        "aws:PrincipalArn",
        "aws:PrincipalIsAWSService",
        "aws:PrincipalOrgID",
        "sts:ExternalId",
        "aws:SourceArn",
        "true",
        "false",
        "*",
        "ec2.amazonaws.com",
        "ecs-tasks.amazonaws.com",
        "123456789012",
        "arn:aws:iam::123456789012:root",
        "arn:aws:iam::123456789012:oidc-provider/gitlab.com",
        "gitlab.com:sub",
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
        "token.actions.githubusercontent.com:sub",
        "repo:o/r:*",
        "",
        "\\u0000",
        "\\ud83d\\ude00",
        "\u{1F600}",
        "Sid",
        "a?b*",
        "${aws:PrincipalAccount}",
        "${",
        "<ORG>",
        "Role",
        "AssumeRolePolicyDocument",
        "arn:aws-cn:iam::123456789012:oidc-provider/oidc.eks.cn-north-1.amazonaws.com.cn/id/0A",
        "oidc.eks.cn-north-1.amazonaws.com.cn/id/0A:sub",
    ]);
    let leaf = prop_oneof![
        8 => word.clone().prop_map(|word| format!("\"{word}\"")),
        1 => select(vec!["null", "true", "1", "-0.5e9", "{}", "[]"]).prop_map(str::to_owned),
    ];
    let tree = leaf.prop_recursive(6, 60, 6, move |inner| {
        let entry =
            (word.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            vec(entry, 0..6).prop_map(|entries| format!("{{\n{}}}", entries.join(",\n"))),
        ]
    });
    let statement = vec(
        (
            select(vec!["Sid", "Effect", "Action", "Principal", "Condition"]),
            tree.clone(),
        ),
        1..6,
    )
    .prop_map(|entries| {
        let entries: Vec<String> = entries
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        format!("{{\"Statement\": [{{{}}}]}}", entries.join(", "))
    });
    prop_oneof![1 => tree, 2 => statement]
}
