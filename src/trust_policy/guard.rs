//! What pairs with the lockdown: policies that make credentials useless where they do not belong.

use super::document::{Document, Effect, Statement, Tree};
use super::words::{Partition, Sid};

/// A policy beside the role's own, never a part of its trust policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Credentials that were fetched by IMDSv1 are useless.
    Imdsv2,
    /// Credentials are useless outside the VPC of the instance.
    SameVpc,
    /// Credentials are useless outside the instance.
    SameInstance,
    /// Instances start with IMDSv2 and a hop limit of 1, or not at all.
    Launch,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 4] = [
        Self::Imdsv2,
        Self::SameVpc,
        Self::SameInstance,
        Self::Launch,
    ];

    /// Where to attach it, and what to mind.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Imdsv2 => {
                "attach it to the instance's role as an inline or managed policy, or to the organization as an \
                 SCP; caveat: software that still asks by IMDSv1 loses its credentials"
            }
            Self::SameVpc => {
                "attach it to the instance's role, or to the organization as an SCP; caveat: every AWS service \
                 that the instance calls needs a VPC endpoint, or the call is denied"
            }
            Self::SameInstance => {
                "attach it to the instance's role; caveat: every AWS service that the instance calls needs a VPC \
                 endpoint, and calls have to come from the instance's primary private IPv4 address"
            }
            Self::Launch => {
                "attach it to the organization as an SCP; caveat: a launch has to say HttpTokens=required, \
                 containers behind a bridge need a higher hop limit, and ec2:ModifyInstanceMetadataOptions can undo it later"
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
            // Two statements: in one, both keys would have to differ before anything is denied.
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

/// Denies credentials of an instance where the key differs from what the instance's credentials say.
/// Without the test by `Null`, everybody who is not an instance would be denied as well.
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
