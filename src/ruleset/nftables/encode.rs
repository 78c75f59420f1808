//! Commands -> the messages of one netlink transaction.
//!
//! Each rule becomes what nft makes of the line that [`super::render`] writes, so that nft shows
//! that line.

use nix::libc;

use super::Operation;
use super::expression::{Answer, Comparison, Expression, Header, Meta};
use super::object::Comment;
use super::{PRIORITY, TABLE, render, written};
use crate::policy::{Address, UidRange};
use crate::probe::{SOURCE_PORT, Transport};
use crate::ruleset::model::{Counters, Hook, Rule, Verdict};
use crate::ruleset::netlink::attributes::{nest, put, put_number, put_text};
use crate::ruleset::netlink::{
    ACKNOWLEDGE, APPEND, BEGIN, CREATE, END, NFTABLES, REQUEST, add_flags, of_nftables, put_message,
};

/// NFPROTO_INET
const INET: u8 = 1;

/// The transaction: all of it takes effect at one instant, or nothing.
///
/// The messages between its begin and its end are numbered from 1 on, as are the lines that
/// [`render::transaction`] writes of the same operations. The kernel answers to those that fail, and
/// to the last one in any case.
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

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    /// How many there are.
    count: u32,
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

    /// All rules of the chain are deleted.
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
                // A byte has its length; longer ones are not laid in this layer.
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
        // struct nfgenmsg: the family; of begin and end, the subsystem in network order.
        let object = match kind {
            BEGIN | END => {
                let [high, low] = NFTABLES.to_be_bytes();
                [0, 0, high, low]
            }
            _ => [INET, 0, 0, 0],
        };
        let head = (kind, flags | REQUEST, self.count);
        put_message(&mut self.bytes, head, object, fill);
        self.count += 1;
    }
}

/// enum nf_inet_hooks
pub(super) fn number_of(hook: Hook) -> u32 {
    match hook {
        Hook::Forward => 2,
        Hook::Output => 3,
    }
}

/// What a rule of ours is in the kernel.
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
        Rule::PassUids { uids, .. } => counted(owned(*uids), Expression::Return),
        Rule::Goto { uids, chain } => then(owned(*uids), Expression::Goto(written(*chain))),
        Rule::PassGroup { gid, .. } => {
            let is_it = equal(gid.get().to_ne_bytes());
            counted(vec![Expression::Meta(Meta::Gid), is_it], Expression::Return)
        }
        Rule::CountProbes(transport) => {
            let mut expressions = protocol(*transport);
            expressions.extend([
                Expression::Payload(Header::Transport, 0, 2),
                equal(SOURCE_PORT.to_be_bytes()),
            ]);
            then(
                [expressions, owned_at_all()].concat(),
                Expression::Counter(Counters::default()),
            )
        }
        Rule::RefuseOwnedTcp => counted([owned_at_all(), tcp()].concat(), reset),
        Rule::RefuseOwned => counted(owned_at_all(), refuse),
        Rule::PassClosing => counted([tcp(), opens_nothing()].concat(), Expression::Return),
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

/// The packet goes to the address: RFC 791, section 3.1, and RFC 8200, section 3.
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

/// The packet's socket belongs to one of them.
fn owned(uids: UidRange) -> Vec<Expression> {
    let (first, last) = (uids.first().get(), uids.last().get());
    match first == last {
        true => vec![Expression::Meta(Meta::Uid), equal(first.to_ne_bytes())],
        false => between(first, last),
    }
}

/// The packet's socket belongs to anyone.
fn owned_at_all() -> Vec<Expression> {
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

/// The packet is TCP.
fn tcp() -> Vec<Expression> {
    protocol(Transport::Tcp)
}

/// The packet is of the protocol.
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

/// Of FIN, SYN, RST and ACK (RFC 9293, section 3.1), the segment has not SYN alone.
fn opens_nothing() -> Vec<Expression> {
    vec![
        Expression::Payload(Header::Transport, 13, 1),
        Expression::Mask(0x17),
        Expression::Compare(Comparison::NotEqual, [0x02].into()),
    ]
}
