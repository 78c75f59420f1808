//! A netlink transaction, taken apart (linux/netlink.h).

/// A message: what its struct nlmsghdr says, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags`
    pub flags: u16,
    /// `nlmsg_seq`
    pub number: u32,
    /// struct nfgenmsg and attributes.
    pub object: &'a [u8],
}

/// The messages, of which nothing is left over.
pub fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (header, _) = bytes.split_first_chunk::<16>().expect("a header");
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        let half = |at: usize| u16::from_ne_bytes([0, 1].map(|byte| header[at + byte]));
        let length = usize::try_from(word(0)).expect("a length");
        assert_eq!(length % 4, 0, "{length}");
        let (message, rest) = bytes.split_at_checked(length).expect("a whole message");
        messages.push(Message {
            kind: half(4),
            flags: half(6),
            number: word(8),
            object: &message[16..],
        });
        bytes = rest;
    }
    messages
}

/// `NFT_MSG_NEWTABLE` of `NFNL_SUBSYS_NFTABLES`: adds a table.
pub const NEW_TABLE: u16 = 10 << 8;
/// `NFT_MSG_NEWCHAIN`
pub const NEW_CHAIN: u16 = 10 << 8 | 3;
/// `NFT_MSG_NEWRULE`
pub const NEW_RULE: u16 = 10 << 8 | 6;
