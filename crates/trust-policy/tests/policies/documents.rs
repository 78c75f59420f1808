//! Compares roles and guardrails with the files in `golden`. `BLESS=1` writes these files.

use std::fs;
use std::path::Path;

use pretty_assertions::{assert_eq, assert_str_eq};
use trust_policy::value::{Partition, ServiceName};
use trust_policy::{Format, Guardrail, Oidc, Preset, Role, RoleOptions, render};

/// Parses a value that must be valid.
#[track_caller]
fn value<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn values<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| value(text)).collect()
}

#[track_caller]
fn role(preset: &Preset, options: &RoleOptions) -> Role {
    preset.build(options).unwrap().0
}

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/policies/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_str_eq!(
        known,
        text,
        "{name}; if the new text is right: BLESS=1 cargo test -p trust-policy"
    );
}

#[test]
fn the_document_of_ec2_is_the_one_that_users_know() {
    const EC2: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "sts:AssumeRole",
      "Principal": {
        "Service": "ec2.amazonaws.com"
      }
    }
  ]
}
"#;
    let consul = Preset::ConsulCluster {
        with_permissions: false,
    };
    for preset in [
        Preset::Service(vec![ServiceName::ec2()]),
        Preset::Service(values(&["ec2.amazonaws.com", "ec2"])),
        consul,
    ] {
        for partition in Partition::ALL {
            let options = RoleOptions {
                partition,
                ..RoleOptions::default()
            };
            assert_str_eq!(render(&role(&preset, &options), Format::Json), EC2);
        }
    }
    let options = RoleOptions::default();
    let lambda = role(&Preset::Service(values(&["lambda"])), &options);
    assert_str_eq!(
        render(&lambda, Format::Json),
        EC2.replace("ec2.", "lambda.")
    );
    let ec2 = role(&Preset::Service(values(&["ec2"])), &options);
    assert_str_eq!(
        render(&ec2, Format::CompactJson),
        EC2.replace([' ', '\n'], "") + "\n"
    );
}

#[test]
fn a_service_gets_the_actions_that_it_calls() {
    let actions = |services: &[&str]| {
        let (role, warnings) = Preset::Service(values(services))
            .build(&RoleOptions::default())
            .unwrap();
        assert_eq!(warnings, []);
        let json = render(&role, Format::CompactJson);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["Statement"][0]["Action"].to_string()
    };
    let pods = "pods.eks.amazonaws.com";
    assert_eq!(actions(&[pods]), r#"["sts:AssumeRole","sts:TagSession"]"#);
    let all = r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#;
    assert_eq!(actions(&["rolesanywhere"]), all);
    assert_eq!(actions(&[pods, "rolesanywhere"]), all);
}

#[test]
fn the_ids_of_circleci_are_in_lower_case() {
    // As in its tokens: StringEquals is case-sensitive.
    let of = |id: &str| {
        let oidc = Oidc::CircleCi {
            account: value("123456789012"),
            organization: value(id),
            project: value(id),
        };
        render(
            &role(&Preset::Oidc(oidc), &RoleOptions::default()),
            Format::Json,
        )
    };
    let lower = of("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    assert_str_eq!(of("AAAAAAAA-bbbb-CCCC-dddd-EEEEEEEEEEEE"), lower);
}

/// The name of the golden files, and the role.
type Named = (&'static str, Preset, RoleOptions);

fn with_guardrail() -> RoleOptions {
    RoleOptions {
        with_guardrail: true,
        ..RoleOptions::default()
    }
}

fn of(partition: Partition) -> RoleOptions {
    RoleOptions {
        partition,
        ..RoleOptions::default()
    }
}

const ACCOUNT: &str = "123456789012";

/// Every preset but `oidc`, with every option somewhere.
fn roles() -> Vec<Named> {
    let services = |names: &[&str]| Preset::Service(values(names));
    let auto_deploy = |accounts: &[&str], role: &str| Preset::AutoDeploy {
        accounts: values(accounts),
        roles: values(&[role]),
    };
    let consul = Preset::ConsulCluster {
        with_permissions: true,
    };
    let ssh_grunt = Preset::SshGrunt {
        accounts: values(&[ACCOUNT, "210987654321"]),
        with_permissions: true,
    };
    let third_party = Preset::ThirdParty {
        accounts: values(&[ACCOUNT]),
        external_id: value("a+b=c,d.e@f:g/h-i_1"),
    };
    let both = RoleOptions {
        sid: Some(value("TrustBoth")),
        ..RoleOptions::default()
    };
    let jenkins = auto_deploy(&[ACCOUNT], "arn:aws:iam::210987654321:role/ci/jenkins");
    let gov = auto_deploy(&[], "arn:aws-us-gov:iam::210987654321:role/jenkins");
    let lambda = services(&["ec2", "lambda.amazonaws.com"]);
    let pods = services(&["pods.eks.amazonaws.com"]);
    let anywhere = services(&["rolesanywhere", "pods.eks.amazonaws.com", "ec2"]);
    vec![
        ("ec2", services(&["ec2"]), RoleOptions::default()),
        ("ec2-and-lambda", lambda, both),
        ("ec2-guarded", services(&["ec2"]), with_guardrail()),
        ("consul-cluster", consul, with_guardrail()),
        ("auto-deploy", jenkins, RoleOptions::default()),
        ("auto-deploy-role", gov, of(Partition::AwsUsGov)),
        ("ssh-grunt", ssh_grunt, RoleOptions::default()),
        ("third-party", third_party, RoleOptions::default()),
        ("pods", pods, RoleOptions::default()),
        ("roles-anywhere", anywhere, RoleOptions::default()),
    ]
}

/// Every provider of the preset `oidc`.
fn oidc_roles() -> Vec<Named> {
    let github = |repository: &str, branch: &str| Oidc::GitHub {
        account: value(ACCOUNT),
        repository: value(repository),
        branch: value(branch),
    };
    let gitlab = |subject: &str| Oidc::Other {
        provider: value("arn:aws:iam::123456789012:oidc-provider/gitlab.com"),
        audience: value("https://gitlab.com"),
        subject: value(subject),
    };
    let circleci = Oidc::CircleCi {
        account: value(ACCOUNT),
        organization: value("11111111-2222-3333-4444-555555555555"),
        project: value("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    };
    let aws = Partition::Aws;
    let branch = "project_path:group/project:ref_type:branch:ref:main";
    [
        ("github", github("example/shop", "release/1.x"), aws),
        (
            "github-china",
            github("example/shop", "main"),
            Partition::AwsCn,
        ),
        (
            "github-immutable",
            github("octocat@123456/my-repo@456789", "main"),
            aws,
        ),
        ("circleci", circleci, Partition::AwsCn),
        ("gitlab", gitlab(branch), aws),
        ("gitlab-pattern", gitlab("project_path:group/*"), aws),
    ]
    .map(|(name, oidc, partition)| (name, Preset::Oidc(oidc), of(partition)))
    .into()
}

#[test]
fn every_preset_has_its_document_in_every_format() {
    for (name, preset, options) in roles().into_iter().chain(oidc_roles()) {
        let role = role(&preset, &options);
        for (ending, format) in [
            ("json", Format::Json),
            ("tf", Format::Terraform),
            ("yaml", Format::CloudFormation),
        ] {
            assert_golden(&format!("{name}.{ending}"), &render(&role, format));
        }
    }
}

#[test]
fn every_resource_has_the_name_of_the_role() {
    let options = RoleOptions {
        name: Some(value("1st.web@prod")),
        ..RoleOptions::default()
    };
    let role = role(&Preset::Service(values(&["ec2"])), &options);
    assert_golden("named.tf", &render(&role, Format::Terraform));
    assert_golden("named.yaml", &render(&role, Format::CloudFormation));
}

#[test]
fn every_guardrail_has_its_policy_and_says_where_to_attach_it() {
    for guardrail in Guardrail::ALL {
        let policy = guardrail.document(Partition::Aws).tree();
        assert_golden(
            &format!("guard-{}.json", guardrail.name()),
            &policy.pretty(),
        );
        let note = guardrail.note();
        assert!(note.starts_with("attach it to "), "{note}");
        assert!(note.contains("; caveat: "), "{note}");
    }
    let china = Guardrail::Launch.document(Partition::AwsCn).tree();
    assert!(
        china
            .compact()
            .contains("\"arn:aws-cn:ec2:*:*:instance/*\"")
    );
}

#[test]
fn a_weak_role_has_a_warning() {
    let accounts = || values(&["123456789012"]);
    let auto_deploy = Preset::AutoDeploy {
        accounts: accounts(),
        roles: vec![],
    };
    let ssh_grunt = Preset::SshGrunt {
        accounts: accounts(),
        with_permissions: false,
    };
    for (preset, code) in [
        (auto_deploy, Some("whole-account")),
        (ssh_grunt, Some("whole-account")),
        (
            Preset::Service(values(&["imaginary"])),
            Some("unknown-service"),
        ),
        (
            Preset::Service(values(&["ec2.amazonaws.com.cn"])),
            Some("china-suffix"),
        ),
        (
            Preset::Service(values(&["ecs-tasks"])),
            Some("source-key-missing"),
        ),
        (Preset::Service(values(&["ec2"])), None),
        (
            Preset::AutoDeploy {
                accounts: vec![],
                roles: values(&["arn:aws:iam::123456789012:role/jenkins"]),
            },
            None,
        ),
    ] {
        let (_, warnings) = preset.build(&RoleOptions::default()).unwrap();
        let codes: Vec<_> = warnings.iter().map(|found| found.code.id()).collect();
        assert_eq!(codes, Vec::from_iter(code), "{preset:?}");
    }
}
