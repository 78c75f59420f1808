//! Guardrails: policies that deny instance credentials where they do not belong.

use crate::document::{Document, Effect, Statement};
use crate::json::Tree;
use crate::value::{Partition, Sid};

/// A policy (guardrail) to attach beside the role's own policies. It never belongs into a trust policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guardrail {
    /// Denies credentials obtained through IMDSv1.
    Imdsv2,
    /// Denies credentials used outside the instance's VPC.
    SameVpc,
    /// Denies credentials used outside the instance.
    SameInstance,
    /// Denies the launch of instances without IMDSv2 or with a hop limit above 1.
    Launch,
}

impl Guardrail {
    /// Every guardrail.
    pub const ALL: [Self; 4] = [
        Self::Imdsv2,
        Self::SameVpc,
        Self::SameInstance,
        Self::Launch,
    ];

    /// The name, such as `same-vpc`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Imdsv2 => "imdsv2",
            Self::SameVpc => "same-vpc",
            Self::SameInstance => "same-instance",
            Self::Launch => "launch",
        }
    }

    /// What the policy denies, in one line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::Imdsv2 => "Deny credentials obtained through IMDSv1",
            Self::SameVpc => "Deny credentials used outside the instance's VPC",
            Self::SameInstance => "Deny credentials used outside the instance",
            Self::Launch => "Deny launches without IMDSv2 or with a hop limit above 1",
        }
    }

    /// Where to attach the policy, and its caveat.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Imdsv2 => {
                "attach it to the instance's role as an inline or managed policy, or to the organization as an \
                 SCP; caveat: software that still uses IMDSv1 loses access to AWS"
            }
            Self::SameVpc => {
                "attach it to the instance's role, or to the organization as an SCP; caveat: calls to an AWS \
                 service are denied unless they go through a VPC endpoint"
            }
            Self::SameInstance => {
                "attach it to the instance's role; caveat: calls to an AWS service are denied unless they go \
                 through a VPC endpoint and come from the instance's primary private IPv4 address"
            }
            Self::Launch => {
                "attach it to the organization as an SCP; caveat: launches must set HttpTokens=required, \
                 containers behind a bridge need a higher hop limit, and ec2:ModifyInstanceMetadataOptions can \
                 change both settings later"
            }
        }
    }

    /// The policy.
    #[must_use]
    pub fn document(self, partition: Partition) -> Document {
        let statements = match self {
            Self::Imdsv2 => vec![deny(
                "ImdsV2CredentialsOnly",
                "*",
                "*",
                Tree::map([(
                    "NumericLessThan",
                    Tree::map([("ec2:RoleDelivery", Tree::text("2.0"))]),
                )]),
            )],
            Self::SameVpc => vec![same_vpc()],
            // Two statements: one with both keys would deny only where both differ.
            Self::SameInstance => vec![
                same_vpc(),
                away(
                    "SameInstanceOnly",
                    "aws:VpcSourceIp",
                    "${aws:Ec2InstanceSourcePrivateIPv4}",
                ),
            ],
            Self::Launch => {
                let instances = format!("arn:{partition}:ec2:*:*:instance/*");
                let launch = |sid, condition| deny(sid, "ec2:RunInstances", &instances, condition);
                vec![
                    launch(
                        "LaunchWithImdsV2",
                        Tree::map([(
                            "StringNotEquals",
                            Tree::map([("ec2:MetadataHttpTokens", Tree::text("required"))]),
                        )]),
                    ),
                    launch(
                        "LaunchWithHopLimit1",
                        Tree::map([(
                            "NumericGreaterThan",
                            Tree::map([("ec2:MetadataHttpPutResponseHopLimit", Tree::text("1"))]),
                        )]),
                    ),
                ]
            }
        };
        Document { statements }
    }
}

fn same_vpc() -> Statement {
    away(
        "SameVpcOnly",
        "aws:SourceVpc",
        "${aws:Ec2InstanceSourceVpc}",
    )
}

/// Denies an instance's credentials where the key differs from the origin in these credentials.
/// Without the `Null` condition, the statement would deny callers that are not instances as well.
fn away(sid: &str, key: &str, origin: &str) -> Statement {
    deny(
        sid,
        "*",
        "*",
        Tree::map([
            ("StringNotEquals", Tree::map([(key, Tree::text(origin))])),
            (
                "Null",
                Tree::map([("ec2:SourceInstanceARN", Tree::text("false"))]),
            ),
            (
                "BoolIfExists",
                Tree::map([("aws:ViaAWSService", Tree::text("false"))]),
            ),
        ]),
    )
}

fn deny(sid: &str, action: &str, resource: &str, condition: Tree) -> Statement {
    Statement {
        sid: Sid::new(sid),
        effect: Effect::Deny,
        action: Tree::text(action),
        principal: None,
        resource: Some(Tree::text(resource)),
        condition: Some(condition),
    }
}
