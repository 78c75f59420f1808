//! Operations -> the messages of one netlink transaction.
//!
//! A rule has the same expressions that nft creates for the text that [`super::render`] writes, so
//! that `nft list table` shows this text.

use nix::libc;

use super::Operation;
use super::expression::{Answer, Comparison, Expression, Header, Meta};
use super::object::{self, Comment};
use super::{PRIORITY, TABLE, render, written};
use crate::policy::{Address, Family, UidRange};
use crate::probe::{SOURCE_PORT, Transport};
use crate::ruleset::model::{ChainName, Counters, Hook, Rule, Verdict};
use crate::ruleset::netlink::attributes::{nest, put, put_number, put_text};
use crate::ruleset::netlink::{
    ACKNOWLEDGE, APPEND, BEGIN, CREATE, END, NFTABLES, REQUEST, add_flags, of_nftables, put_message,
};

/// The family `inet` (NFPROTO_INET).
const INET: u8 = 1;

/// The messages of a transaction, which takes effect at one instant or not at all.
///
/// The messages between begin and end are numbered from 1, like the lines that
/// [`render::transaction`] writes for the same operations. The kernel answers each message that
/// fails, and always the last one.
#[must_use]
pub fn transaction(operations: &[Operation]) -> Vec<u8> {
    let mut batch = Batch::default();
    batch.message(BEGIN, 0, |_| {});
    for operation in operations {
        batch.operation(operation);
    }
    add_flags(&mut batch.bytes, batch.last, ACKNOWLEDGE);
    batch.message(END, 0, |_| {});
    batch.bytes
}

/// The messages that delete rules by handle, each with its chain, then empty and delete chains, in
/// a table of one IP family. They take effect at one instant or not at all.
#[must_use]
pub fn removal(
    family: Family,
    table: &str,
    rules: &[(String, u64)],
    chains: &[ChainName],
) -> Vec<u8> {
    let mut batch = Batch {
        family: object::number_of(&[family]),
        ..Batch::default()
    };
    batch.message(BEGIN, 0, |_| {});
    for (chain, handle) in rules {
        batch.change(libc::NFT_MSG_DELRULE, 0, |attributes| {
            // NFTA_RULE_TABLE, _CHAIN, _HANDLE
            put_text(attributes, 1, table);
            put_text(attributes, 2, chain);
            put(attributes, 3, &handle.to_be_bytes());
        });
    }
    for chain in chains {
        batch.change(libc::NFT_MSG_DELRULE, 0, |attributes| {
            put_text(attributes, 1, table);
            put_text(attributes, 2, &chain.to_string());
        });
    }
    for chain in chains {
        batch.change(libc::NFT_MSG_DELCHAIN, 0, |attributes| {
            put_text(attributes, 1, table);
            put_text(attributes, 3, &chain.to_string());
        });
    }
    add_flags(&mut batch.bytes, batch.last, ACKNOWLEDGE);
    batch.message(END, 0, |_| {});
    batch.bytes
}

struct Batch {
    bytes: Vec<u8>,
    /// The number of the family.
    family: u8,
    /// The offset of the last message.
    last: usize,
    /// The number of messages.
    count: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            family: INET,
            last: 0,
            count: 0,
        }
    }
}

impl Batch {
    fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::AddTable => self.change(libc::NFT_MSG_NEWTABLE, CREATE, |attributes| {
                // NFTA_TABLE_NAME, _FLAGS
                put_text(attributes, 1, TABLE);
                put_number(attributes, 2, 0);
            }),
            Operation::DeleteTable => self.change(libc::NFT_MSG_DELTABLE, 0, |attributes| {
                put_text(attributes, 1, TABLE);
            }),
            Operation::AddBase(hook) => self.change(libc::NFT_MSG_NEWCHAIN, CREATE, |attributes| {
                // NFTA_CHAIN_TABLE, _NAME, _HOOK, _POLICY, _TYPE; NFTA_HOOK_HOOKNUM, _PRIORITY
                put_text(attributes, 1, TABLE);
                put_text(attributes, 3, hook.chain());
                nest(attributes, 4, |attributes| {
                    put_number(attributes, 1, number_of(*hook));
                    put_number(attributes, 2, PRIORITY.cast_unsigned());
                });
                put_number(attributes, 5, libc::NF_ACCEPT.cast_unsigned());
                put_text(attributes, 7, "filter");
            }),
            Operation::FlushBase(hook) => self.flush(hook.chain()),
            Operation::DeleteBase(hook) => self.delete(hook.chain()),
            Operation::Jump(chain) => self.rule(chain.hook.chain(), &Rule::Jump(*chain)),
            Operation::Flush(chain) => self.flush(&written(*chain)),
            Operation::Delete(chain) => self.delete(&written(*chain)),
            Operation::Fill(chain, rules) => {
                let name = written(*chain);
                self.change(libc::NFT_MSG_NEWCHAIN, CREATE, |attributes| {
                    put_text(attributes, 1, TABLE);
                    put_text(attributes, 3, &name);
                });
                for rule in rules {
                    self.rule(&name, rule);
                }
            }
        }
    }

    /// Deletes all rules of the chain.
    fn flush(&mut self, chain: &str) {
        self.change(libc::NFT_MSG_DELRULE, 0, |attributes| {
            // NFTA_RULE_TABLE, _CHAIN
            put_text(attributes, 1, TABLE);
            put_text(attributes, 2, chain);
        });
    }

    fn delete(&mut self, chain: &str) {
        self.change(libc::NFT_MSG_DELCHAIN, 0, |attributes| {
            put_text(attributes, 1, TABLE);
            put_text(attributes, 3, chain);
        });
    }

    fn rule(&mut self, chain: &str, rule: &Rule) {
        let flags = CREATE | APPEND;
        self.change(libc::NFT_MSG_NEWRULE, flags, |attributes| {
            // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA
            put_text(attributes, 1, TABLE);
            put_text(attributes, 2, chain);
            nest(attributes, 4, |list| {
                for expression in expressions(rule) {
                    expression.write(list);
                }
            });
            if let Some(comment) = render::comment(rule) {
                // The length has one byte. Policies with longer names do not get this layer.
                let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
                let head = [Comment::KIND, length];
                put(attributes, 7, &[&head, comment.as_bytes(), &[0]].concat());
            }
        });
    }

    fn change(&mut self, kind: libc::c_int, flags: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        self.message(of_nftables(kind), flags, fill);
    }

    fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        self.last = self.bytes.len();
        // struct nfgenmsg: the family; for begin and end, the subsystem in network byte order.
        let object = match kind {
            BEGIN | END => {
                let [high, low] = NFTABLES.to_be_bytes();
                [0, 0, high, low]
            }
            _ => [self.family, 0, 0, 0],
        };
        let head = (kind, flags | REQUEST, self.count);
        put_message(&mut self.bytes, head, object, fill);
        self.count += 1;
    }
}

/// The number of the hook (enum nf_inet_hooks).
pub(super) fn number_of(hook: Hook) -> u32 {
    match hook {
        Hook::Forward => 2,
        Hook::Output => 3,
    }
}

/// The expressions of one of our rules.
pub(super) fn expressions(rule: &Rule) -> Vec<Expression> {
    let counted = |mut expressions: Vec<Expression>, end| {
        expressions.extend([Expression::Counter(Counters::default()), end]);
        expressions
    };
    let then = |mut expressions: Vec<Expression>, end| {
        expressions.push(end);
        expressions
    };
    let reset = Expression::Reject(Answer::Reset);
    let refuse = Expression::Reject(Answer::PortUnreachable);
    match rule {
        Rule::Jump(target) => then(to(target.address), Expression::Jump(written(*target))),
        Rule::AllowUids { uids, .. } => counted(owned(*uids), Expression::Return),
        Rule::Goto { uids, chain } => then(owned(*uids), Expression::Goto(written(*chain))),
        Rule::AllowGroup { gid, .. } => {
            let matches = equal(gid.get().to_ne_bytes());
            counted(
                vec![Expression::Meta(Meta::Gid), matches],
                Expression::Return,
            )
        }
        Rule::CountProbes(transport) => {
            let mut expressions = protocol(*transport);
            expressions.extend([
                Expression::Payload(Header::Transport, 0, 2),
                equal(SOURCE_PORT.to_be_bytes()),
            ]);
            then(
                [expressions, owned_by_any()].concat(),
                Expression::Counter(Counters::default()),
            )
        }
        Rule::RefuseOwnedTcp => counted([owned_by_any(), tcp()].concat(), reset),
        Rule::RefuseOwned => counted(owned_by_any(), refuse),
        Rule::AllowClosing => counted([tcp(), not_opening()].concat(), Expression::Return),
        Rule::RefuseTcp => counted(tcp(), reset),
        Rule::Refuse { verdict, .. } => counted(
            Vec::new(),
            match verdict {
                Verdict::Reject => refuse,
                Verdict::Drop => Expression::Drop,
            },
        ),
    }
}

fn equal<const N: usize>(bytes: [u8; N]) -> Expression {
    Expression::Compare(Comparison::Equal, bytes.into())
}

/// Matches packets to the address (RFC 791, section 3.1; RFC 8200, section 3).
fn to(address: Address) -> Vec<Expression> {
    let ip = |family: libc::c_int, offset, length| {
        let family = family.to_be_bytes();
        vec![
            Expression::Meta(Meta::Family),
            equal([family[3]]),
            Expression::Payload(Header::Network, offset, length),
        ]
    };
    let (mut expressions, address) = match address.ip() {
        std::net::IpAddr::V4(address) => (ip(libc::NFPROTO_IPV4, 16, 4), equal(address.octets())),
        std::net::IpAddr::V6(address) => (ip(libc::NFPROTO_IPV6, 24, 16), equal(address.octets())),
    };
    expressions.push(address);
    expressions
}

/// Matches packets whose socket has an owner among `uids`.
fn owned(uids: UidRange) -> Vec<Expression> {
    let (first, last) = (uids.first().get(), uids.last().get());
    if first == last {
        vec![Expression::Meta(Meta::Uid), equal(first.to_ne_bytes())]
    } else {
        between(first, last)
    }
}

/// Matches packets whose socket has any owner.
fn owned_by_any() -> Vec<Expression> {
    between(0, u32::MAX)
}

fn between(first: u32, last: u32) -> Vec<Expression> {
    let compare = |comparison, uid: u32| Expression::Compare(comparison, uid.to_be_bytes().into());
    vec![
        Expression::Meta(Meta::Uid),
        Expression::ToNetworkOrder,
        compare(Comparison::AtLeast, first),
        compare(Comparison::AtMost, last),
    ]
}

/// Matches TCP packets.
fn tcp() -> Vec<Expression> {
    protocol(Transport::Tcp)
}

/// Matches packets of the protocol.
fn protocol(transport: Transport) -> Vec<Expression> {
    let number = match transport {
        Transport::Tcp => libc::IPPROTO_TCP,
        Transport::Udp => libc::IPPROTO_UDP,
    };
    vec![
        Expression::Meta(Meta::Protocol),
        equal([number.to_be_bytes()[3]]),
    ]
}

/// Matches TCP packets that do not open a connection: of FIN, SYN, RST and ACK (RFC 9293, section
/// 3.1), any combination except SYN alone.
fn not_opening() -> Vec<Expression> {
    vec![
        Expression::Payload(Header::Transport, 13, 1),
        Expression::Mask(0x17),
        Expression::Compare(Comparison::NotEqual, [0x02].into()),
    ]
}
