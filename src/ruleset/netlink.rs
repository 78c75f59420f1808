//! The framing of netlink messages to and from nfnetlink: struct nlmsghdr, struct nfgenmsg, and
//! `attributes` (linux/netlink.h, linux/netfilter/nfnetlink.h).
//!
//! Numbers in headers are in host byte order. Damaged messages are read as `None`, without a panic.

pub(crate) mod attributes;

use nix::libc;

use self::attributes::aligned;

/// The length of struct nlmsghdr: length, type, flags, sequence, port.
pub(crate) const HEADER: usize = 16;
/// The length of struct nfgenmsg: family, version, resource.
pub(crate) const OBJECT: usize = 4;
/// Message flags.
pub(crate) const REQUEST: u16 = short(libc::NLM_F_REQUEST);
pub(crate) const ACKNOWLEDGE: u16 = short(libc::NLM_F_ACK);
pub(crate) const CREATE: u16 = short(libc::NLM_F_CREATE);
pub(crate) const APPEND: u16 = short(libc::NLM_F_APPEND);
pub(crate) const DUMP: u16 = short(libc::NLM_F_DUMP);
/// The ruleset changed while the kernel made the dump.
pub(crate) const INTERRUPTED: u16 = short(libc::NLM_F_DUMP_INTR);
/// The message types that begin and end a transaction.
pub(crate) const BEGIN: u16 = short(libc::NFNL_MSG_BATCH_BEGIN);
pub(crate) const END: u16 = short(libc::NFNL_MSG_BATCH_END);
/// The number of the subsystem nf_tables.
pub(crate) const NFTABLES: u16 = short(libc::NFNL_SUBSYS_NFTABLES);

/// Converts a kernel constant, which is small and positive but an `int` in C.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked where the constants are evaluated"
)]
const fn short(constant: libc::c_int) -> u16 {
    assert!(constant >= 0 && constant <= 0xffff, "fits in 16 bits");
    constant as u16
}

/// The type of a message of nf_tables (enum nf_tables_msg_types).
#[must_use]
pub(crate) fn of_nftables(kind: libc::c_int) -> u16 {
    // All values of the enum fit in 8 bits.
    NFTABLES << 8 | u16::try_from(kind).unwrap_or_default()
}

/// A netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Its sequence number.
    pub sequence: u32,
    /// The bytes after struct nlmsghdr; for an object, struct nfgenmsg and its attributes.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Whether its type is NLMSG_ERROR or NLMSG_DONE, which contain an error number.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(i32::from(self.kind), libc::NLMSG_ERROR | libc::NLMSG_DONE)
    }

    /// The error number of a message of type NLMSG_ERROR or NLMSG_DONE, 0 for success; `None` if
    /// the message is damaged.
    pub(crate) fn error(&self) -> Option<i32> {
        let code = self.payload.first_chunk().copied();
        i32::from_ne_bytes(code?).checked_neg()
    }
}

/// The messages in the bytes that one read from a netlink socket returned. If the bytes are
/// damaged, the last item is `None`.
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = Option<Message<'_>>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = first(rest);
        rest = next.map_or(&[][..], |(length, _)| {
            rest.get(aligned(length)..).unwrap_or_default()
        });
        Some(next.map(|(_, message)| message))
    })
}

/// The first message and its length.
fn first(bytes: &[u8]) -> Option<(usize, Message<'_>)> {
    let two = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let four = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(four(0)?).ok()?;
    let message = Message {
        kind: two(4)?,
        flags: two(6)?,
        sequence: four(8)?,
        payload: bytes.get(HEADER..length)?,
    };
    Some((length, message))
}

/// Appends a message with this type, flags, sequence number and struct nfgenmsg. `fill` appends its
/// attributes.
pub(crate) fn put_message(
    bytes: &mut Vec<u8>,
    (kind, flags, sequence): (u16, u16, u32),
    object: [u8; OBJECT],
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(object);
    fill(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    patch(bytes, start, length.to_ne_bytes());
}

/// Sets further flags of the message that begins at `start`.
pub(crate) fn add_flags(bytes: &mut [u8], start: usize, more: u16) {
    let at = start + 6;
    let flags = bytes.get(at..).and_then(|rest| rest.first_chunk().copied());
    let flags = flags.map_or(0, u16::from_ne_bytes);
    patch(bytes, at, (flags | more).to_ne_bytes());
}

fn patch<const N: usize>(bytes: &mut [u8], at: usize, new: [u8; N]) {
    for (place, byte) in bytes.iter_mut().skip(at).zip(new) {
        *place = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_end_the_list() {
        for bytes in [
            &[0][..],
            &[0; 15],
            &[0; 16],
            &[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[200, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[255; 16],
        ] {
            assert_eq!(messages(bytes).collect::<Vec<_>>(), [None], "{bytes:?}");
        }
        assert_eq!(messages(&[]).next(), None);
    }

    #[test]
    fn messages_read_back() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, (0xa01, REQUEST, 7), [2, 0, 0, 0], |bytes| {
            attributes::put_text(bytes, 1, "four");
        });
        let second = bytes.len();
        put_message(&mut bytes, (0xa02, REQUEST, 8), [1, 0, 0, 0], |_| {});
        add_flags(&mut bytes, second, ACKNOWLEDGE);
        let read: Vec<_> = messages(&bytes).map(Option::unwrap).collect();
        let heads = read.iter().map(|one| (one.kind, one.flags, one.sequence));
        let heads: Vec<_> = heads.collect();
        assert_eq!(heads, [(0xa01, 1, 7), (0xa02, 5, 8)]);
        assert_eq!(read[0].payload.len(), OBJECT + 12);
        assert_eq!(read[1].payload, [1, 0, 0, 0]);
    }

    #[test]
    fn only_errors_and_ends_carry_an_error() {
        fn message(kind: i32, payload: &[u8]) -> Message<'_> {
            Message {
                kind: kind.try_into().unwrap(),
                flags: 0,
                sequence: 0,
                payload,
            }
        }
        let refused = (-libc::ENOMEM).to_ne_bytes();
        for kind in [libc::NLMSG_ERROR, libc::NLMSG_DONE] {
            let answer = message(kind, &refused);
            assert!(answer.is_answer());
            assert_eq!(answer.error(), Some(libc::ENOMEM));
            assert_eq!(message(kind, &[0; 4]).error(), Some(0));
            assert_eq!(message(kind, &[0; 3]).error(), None);
            assert_eq!(message(kind, &i32::MIN.to_ne_bytes()).error(), None);
        }
        assert!(!message(0xa00, &refused).is_answer());
    }
}
