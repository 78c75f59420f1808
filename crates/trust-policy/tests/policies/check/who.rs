//! Diagnostics on principals and actions.

use trust_policy::{CheckOptions, check};

use super::{ACCOUNT, EC2, ROLE, allow, document, expect, statement, web_identity};

#[test]
fn other_actions_and_wildcards_are_errors() {
    for action in [
        "*",
        "sts:*",
        "sts:Assume*",
        "sts:AssumeRol?",
        "sts:AssumeRol",
        "AssumeRole",
        "s3:GetObject",
        "iam:PassRole",
        "sts:GetCallerIdentity",
        "",
    ] {
        expect(
            &allow(EC2, "").replace("sts:AssumeRole", action),
            &["bad-action"],
        );
    }
    expect(
        &document(&statement(
            "Allow",
            r#"["sts:AssumeRole","sts:*"]"#,
            EC2,
            "",
        )),
        &["bad-action"],
    );
}

#[test]
fn a_principal_must_be_able_to_use_the_action() {
    let saml = format!(r#"{{"Federated":"{ACCOUNT}:saml-provider/adfs"}}"#);
    let oidc = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/example.org"}}"#);
    for (action, principal) in [
        ("sts:AssumeRole", saml.as_str()),
        ("sts:AssumeRole", &oidc),
        ("sts:AssumeRoleWithSAML", EC2),
        ("sts:AssumeRoleWithSAML", ROLE),
        ("sts:AssumeRoleWithSAML", &oidc),
        ("sts:AssumeRoleWithWebIdentity", EC2),
        ("sts:AssumeRoleWithWebIdentity", ROLE),
        ("sts:AssumeRoleWithWebIdentity", &saml),
        (
            "sts:AssumeRoleWithWebIdentity",
            r#"{"AWS":"arn:aws:iam::123456789012:role/x"}"#,
        ),
    ] {
        expect(
            &document(&statement("Allow", &format!("\"{action}\""), principal, "")),
            &["action-principal-mismatch"],
        );
    }
    let both =
        format!(r#"{{"Service":"ec2.amazonaws.com","Federated":"{ACCOUNT}:saml-provider/x"}}"#);
    expect(&allow(&both, ""), &["action-principal-mismatch"]);
    expect(
        &document(&statement(
            "Allow",
            r#"["sts:AssumeRole","sts:AssumeRoleWithSAML"]"#,
            &both,
            "",
        )),
        &[],
    );
}

#[test]
fn principals_under_the_wrong_kind_are_errors() {
    expect(
        &allow(&format!(r#"{{"Service":"{ACCOUNT}:root"}}"#), ""),
        &["arn-as-service"],
    );
    expect(
        &allow(&format!(r#"{{"Service":"{ACCOUNT}:role/x"}}"#), ""),
        &["arn-as-service"],
    );
    for service in [
        "ec2.amazonaws.com",
        "lambda.amazonaws.com",
        "ec2",
        "foo.amazonaws.com.cn",
    ] {
        expect(
            &allow(&format!(r#"{{"AWS":"{service}"}}"#), ""),
            &["service-as-aws"],
        );
    }
    expect(
        &allow(r#"{"CanonicalUser":"79a59d"}"#, ""),
        &["unsupported-principal"],
    );
    expect(
        &allow(&format!(r#"{{"AWS":"{ACCOUNT}:group/admins"}}"#), ""),
        &["unsupported-principal"],
    );
}

#[test]
fn malformed_and_misspelt_services_get_a_suggestion() {
    for (service, meant) in [
        ("ec2", Some("ec2")),
        ("EC2.amazonaws.com", Some("ec2")),
        ("ec2.amazon.com", Some("ec2")),
        ("ec2.amazonaws.com ", Some("ec2")),
        ("https://ec2.amazonaws.com", Some("ec2")),
        ("lamda.amazonaws.com", Some("lambda")),
        ("lamba.amazonaws.com", Some("lambda")),
        ("lambda.amazonws.com", Some("lambda")),
        ("cloudformtion.amazonaws.com", Some("cloudformation")),
        ("sagemakre.amazonaws.com", Some("sagemaker")),
        (
            "dynamodbb.application-autoscaling.amazonaws.com",
            Some("dynamodb.application-autoscaling"),
        ),
        ("codepipelime.eu-west-1.amazonaws.com", Some("codepipeline")),
        ("sagemaker.amazonaws.org", Some("sagemaker")),
        ("", None),
        ("example.org", None),
        (".amazonaws.com", None),
        ("a..b.amazonaws.com", None),
    ] {
        let text = allow(&format!(r#"{{"Service":"{service}"}}"#), "");
        expect(&text, &["bad-service-name"]);
        if let Some(meant) = meant {
            let findings = check(text.as_bytes(), CheckOptions::default());
            assert_eq!(
                findings[0].help,
                format!("did you mean \"{meant}.amazonaws.com\"?"),
                "{service}"
            );
        }
    }
    expect(
        &allow(r#"{"Service":"brandnewservice.amazonaws.com"}"#, ""),
        &["unknown-service"],
    );
    expect(
        &allow(r#"{"Service":"ec2.amazonaws.com.cn"}"#, ""),
        &["china-suffix"],
    );
    expect(
        &allow(
            r#"{"Service":"codedeploy.cn-north-1.amazonaws.com.cn"}"#,
            "",
        ),
        &["china-suffix"],
    );
}

#[test]
fn missing_actions_of_a_service_are_a_warning() {
    const PODS: &str = r#"{"Service":"pods.eks.amazonaws.com"}"#;
    const ANYWHERE: &str = r#"{"Service":["ec2.amazonaws.com","rolesanywhere.amazonaws.com"]}"#;
    const ASSUME: &str = "\"sts:AssumeRole\"";
    let of = |principal: &str, actions: &[&str]| {
        let statements: Vec<_> = actions
            .iter()
            .map(|action| statement("Allow", action, principal, ""))
            .collect();
        document(&format!("[{}]", statements.join(",")))
    };
    let both = r#"["sts:AssumeRole","sts:TagSession"]"#;
    let missing = &["session-action-missing"];
    expect(&of(PODS, &[ASSUME]), missing);
    expect(&of(PODS, &[ASSUME, ASSUME]), missing);
    expect(&of(ANYWHERE, &[both]), missing);
    expect(
        &of(ANYWHERE, &[ASSUME, "\"sts:SetSourceIdentity\""]),
        missing,
    );
    // The statements together allow the action.
    expect(&of(PODS, &[ASSUME, "\"sts:TagSession\""]), &[]);
    expect(&of(ANYWHERE, &[both, "\"sts:SetSourceIdentity\""]), &[]);
    expect(&of(EC2, &[ASSUME]), &[]);
    // An action that could not be parsed may be the missing one.
    expect(&of(PODS, &[ASSUME, "\"sts:*\""]), &["bad-action"]);
    // A Deny, or an Allow for another principal, does not count.
    let deny = statement("Deny", "\"sts:TagSession\"", PODS, "");
    let other = statement("Allow", both, ROLE, "");
    let pods = statement("Allow", ASSUME, PODS, "");
    expect(&document(&format!("[{deny},{other},{pods}]")), missing);
    let found = check(of(ANYWHERE, &[ASSUME]).as_bytes(), CheckOptions::default());
    let found = found
        .iter()
        .find(|found| found.code.id() == missing[0])
        .unwrap();
    assert!(
        found
            .message
            .contains("sts:TagSession and sts:SetSourceIdentity"),
        "{found:?}"
    );
    assert_eq!(found.path, "$.Statement[0].Principal.Service[1]");
}

#[test]
fn services_with_short_and_new_names_are_no_misspellings() {
    for service in [
        "odb",
        "evs",
        "mpa",
        "dsql",
        "aiops",
        "opensearchservice",
        "ec2fastlaunch",
        "transform",
        "batchoperations.s3",
        "osis-pipelines",
        "replicator.lambda",
        "capabilities.eks",
        "dms-data-migrations",
        "voiceconnector.chime",
        "mediapipelines.chime",
        "kafka.application-autoscaling",
        "neptune.application-autoscaling",
        "states.eusc-de-east-1",
    ] {
        expect(
            &allow(&format!(r#"{{"Service":"{service}.amazonaws.com"}}"#), ""),
            &[],
        );
    }
    // A slip in a short name, two slips, a suffix and another digit may be the name of a new service.
    for (service, near) in [
        ("ec3", Some("ec2")),
        ("sqz", Some("sqs")),
        ("snss", Some("sns")),
        ("zzzz", None),
        ("zz", None),
        ("lambad", Some("lambda")),
        ("athen", Some("athena")),
        ("ecs.task", Some("ecs-tasks")),
        ("clodformtion", Some("cloudformation")),
        ("transferv2", Some("transfer")),
        ("inspector3", Some("inspector")),
        ("sagemaker2", Some("sagemaker")),
        ("workdocss", Some("workdocs")),
        ("resource-explorer", Some("resource-explorer-2")),
    ] {
        let text = allow(&format!(r#"{{"Service":"{service}.amazonaws.com"}}"#), "");
        expect(&text, &["unknown-service"]);
        let help = &check(text.as_bytes(), CheckOptions::default())[0].help;
        assert_eq!(
            near.map(|near| format!("did you mean \"{near}.amazonaws.com\"?")),
            help.split_inclusive('?')
                .find(|part| part.starts_with("did"))
                .map(str::to_owned),
            "{help}"
        );
    }
}

#[test]
fn common_names_of_services_get_a_suggestion() {
    for (other, service) in [
        ("efs", "elasticfilesystem"),
        ("emr", "elasticmapreduce"),
        ("ddb", "dynamodb"),
        ("elb", "elasticloadbalancing"),
        ("stepfunctions", "states"),
        ("eventbridge", "events"),
    ] {
        for text in [
            other.to_owned(),
            format!("{other}.amazonaws.com"),
            format!("{other}.eu-west-1.amazonaws.com"),
        ] {
            let text = allow(&format!(r#"{{"Service":"{text}"}}"#), "");
            expect(&text, &["bad-service-name"]);
            assert_eq!(
                check(text.as_bytes(), CheckOptions::default())[0].help,
                format!("did you mean \"{service}.amazonaws.com\"?")
            );
        }
    }
}

#[test]
fn wildcards_in_principals_are_errors() {
    for principal in [
        r#""*""#.to_owned(),
        r#"{"AWS":"*"}"#.to_owned(),
        r#"{"AWS":["arn:aws:iam::123456789012:role/x","*"]}"#.to_owned(),
        r#"{"Service":"*"}"#.to_owned(),
        r#"{"Service":"*.amazonaws.com"}"#.to_owned(),
        r#"{"Federated":"*"}"#.to_owned(),
        format!(r#"{{"AWS":"{ACCOUNT}:role/*"}}"#),
        format!(r#"{{"AWS":"{ACCOUNT}:user/b?b"}}"#),
        r#"{"AWS":"arn:aws:iam::*:root"}"#.to_owned(),
        r#"{"AWS":"1234*"}"#.to_owned(),
    ] {
        expect(&allow(&principal, ""), &["wildcard-principal"]);
    }
    let deny = statement("Deny", "\"sts:AssumeRole\"", "\"*\"", "");
    let ec2 = statement("Allow", "\"sts:AssumeRole\"", EC2, "");
    expect(
        &document(&format!("[{ec2},{deny}]")),
        &["wildcard-principal"],
    );
}

#[test]
fn help_names_the_fix() {
    let help = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .remove(0)
            .help
    };
    let message = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .remove(0)
            .message
    };
    for (action, near) in [
        ("AssumeRole", "sts:AssumeRole"),
        ("assumerole", "sts:AssumeRole"),
        ("AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity"),
        ("TagSession", "sts:TagSession"),
        ("sts:AssumeRol", "sts:AssumeRole"),
        ("iam:AssumeRole", "sts:AssumeRole"),
    ] {
        assert_eq!(
            help(&allow(EC2, "").replace("sts:AssumeRole", action)),
            format!("did you mean {near}?")
        );
    }
    for provider in ["oidc-provider/gitlab.com", "saml-provider/adfs"] {
        let text = allow(&format!(r#"{{"AWS":"{ACCOUNT}:{provider}"}}"#), "");
        expect(&text, &["bad-arn"]);
        assert_eq!(help(&text), "list it under Federated");
    }
    let text = web_identity(&format!(r#"{{"Federated":"{ACCOUNT}:role/x"}}"#), "");
    assert!(
        help(&text).starts_with("list it under AWS"),
        "{}",
        help(&text)
    );
    for (kind, says) in [
        ("Service", "a service must be named in full"),
        ("Federated", "a provider must be named in full"),
    ] {
        for value in ["*", "*.amazonaws.com"] {
            let text = allow(&format!(r#"{{"{kind}":"{value}"}}"#), "");
            expect(&text, &["wildcard-principal"]);
            assert!(message(&text).contains(says), "{}", message(&text));
            assert!(!help(&text).contains("account,"), "{}", help(&text));
        }
    }
    assert!(message(&allow(r#"{"AWS":"*"}"#, "")).contains("every AWS account in the world"));
}

#[test]
fn bad_accounts_arns_and_partitions_are_errors() {
    for (principal, code) in [
        ("12345678901", "bad-account"),
        ("1234567890123", "bad-account"),
        ("1234-5678-9012", "bad-account"),
        ("", "bad-account"),
        ("arn:aws:iam::12345:root", "bad-account"),
        ("arn:aws:iam:::root", "bad-account"),
        ("arn:aws:iam::${AWS::AccountId}:root", "bad-account"),
        ("arn:aws-china:iam::123456789012:root", "bad-partition"),
        ("arn:AWS:iam::123456789012:root", "bad-partition"),
        ("arn::iam::123456789012:root", "bad-partition"),
        ("arn:aws:iam:us-east-1:123456789012:root", "bad-arn"),
        ("arn:aws:iam::123456789012", "bad-arn"),
        ("arn:aws:iam::123456789012:role", "bad-arn"),
        ("arn:aws:iam::123456789012:role/", "bad-arn"),
        ("arn:aws:iam::123456789012:roles/x", "bad-arn"),
        ("arn:aws:iam::123456789012:instance-profile/x", "bad-arn"),
        ("arn:aws:iam::123456789012:policy/x", "bad-arn"),
        ("arn:aws:s3:::bucket", "bad-arn"),
        ("arn:aws:sts::123456789012:assumed-role/x", "bad-arn"),
        ("arn:aws:iam::123456789012:role/a b", "bad-arn"),
        ("AIDACKCEVSQ6C2EXAMPLE", "bad-arn"),
        ("AROACKCEVSQ6C2EXAMPLE", "bad-arn"),
        ("bob", "bad-arn"),
        ("<ACCOUNT>", "bad-arn"),
    ] {
        expect(&allow(&format!(r#"{{"AWS":"{principal}"}}"#), ""), &[code]);
    }
    for provider in [
        "example.org",
        "https://accounts.google.com",
        "arn:aws:iam::123456789012:oidc-provider/",
        "arn:aws:iam::123456789012:role/x",
        "arn:aws:iam::123456789012:saml-provider/a/b",
    ] {
        expect(
            &web_identity(&format!(r#"{{"Federated":"{provider}"}}"#), ""),
            &["bad-arn"],
        );
    }
}
