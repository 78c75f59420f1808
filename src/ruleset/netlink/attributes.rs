//! Netlink attributes (linux/netlink.h, struct nlattr): length and type with two bytes each in host
//! byte order, then the value, padded to a multiple of four bytes. Numbers of nf_tables are in
//! network byte order.

use nix::libc;

/// The length of a header: length and type.
const HEADER: usize = 4;
/// The flag of a type whose value consists of attributes.
const NESTED: u16 = super::short(libc::NLA_F_NESTED);
/// The mask of a type without its flags, the two upper bits (NLA_TYPE_MASK).
const KIND: u16 = !(NESTED | super::short(libc::NLA_F_NET_BYTEORDER));

/// The padded length.
#[must_use]
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The type and value of each attribute, in order. If an attribute is damaged, the last item is
/// `None`.
pub(crate) fn all(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = first(rest);
        rest = next.map_or(&[][..], |(length, ..)| {
            rest.get(aligned(length)..).unwrap_or_default()
        });
        Some(next.map(|(_, kind, value)| (kind, value)))
    })
}

/// Checks that no attribute is damaged, that all types are from 1 to `most`, and that no type
/// occurs twice. (If a nested list was cut off, its last attributes may appear in the list around
/// it.)
#[must_use]
pub(crate) fn each_once(attributes: &[u8], most: u16) -> Option<()> {
    let mut seen = 0_u64;
    for attribute in all(attributes) {
        let (kind, _) = attribute?;
        let bit = 1_u64.checked_shl(u32::from(kind))?;
        if kind > most || seen & bit != 0 {
            return None;
        }
        seen |= bit;
    }
    Some(())
}

/// The highest type that [`each_once`] supports.
pub(crate) const ANY: u16 = 63;

/// The value of the first attribute of the type.
#[must_use]
pub(crate) fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    all(attributes)
        .map_while(|attribute| attribute)
        .find(|&(kind, _)| kind == wanted)
        .map(|(_, value)| value)
}

/// The first attribute: its length, type and value.
fn first(bytes: &[u8]) -> Option<(usize, u16, &[u8])> {
    let length: usize = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?).into();
    let kind = u16::from_ne_bytes(bytes.get(2..HEADER)?.try_into().ok()?) & KIND;
    Some((length, kind, bytes.get(HEADER..length)?))
}

/// The value as a number of 32 bits.
#[must_use]
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// The value as a number of 64 bits.
#[must_use]
pub(crate) fn long_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The value as a text that ends before the first zero byte. Bytes that are not UTF-8 are replaced.
#[must_use]
pub(crate) fn text(value: &[u8]) -> String {
    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Appends an attribute.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    wrap(bytes, kind, |bytes| bytes.extend_from_slice(value));
}

/// Appends an attribute whose value is a number of 32 bits.
pub(crate) fn put_number(bytes: &mut Vec<u8>, kind: u16, number: u32) {
    put(bytes, kind, &number.to_be_bytes());
}

/// Appends an attribute whose value is a text with a zero byte at its end.
pub(crate) fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    wrap(bytes, kind, |bytes| {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    });
}

/// Appends an attribute whose value consists of the attributes that `fill` appends.
pub(crate) fn nest(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    wrap(bytes, kind | NESTED, fill);
}

/// Appends a header and the value that `fill` appends.
fn wrap(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; HEADER]);
    fill(bytes);
    let length = bytes.len() - start;
    bytes.resize(start + aligned(length), 0);
    debug_assert!(u16::try_from(length).is_ok(), "no attribute is that long");
    // The kernel refuses a message with an attribute that is too long.
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes();
    let header = length.into_iter().chain(kind.to_ne_bytes());
    for (place, byte) in bytes.iter_mut().skip(start).zip(header) {
        *place = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_whatever_stands_around_them() {
        let one = [6, 0, 1, 0, b'a', 0, 0, 0];
        let two = [8, 0, 2, 0x80, 0, 0, 1, 2];
        let both = [one, two].concat();
        assert_eq!(find(&both, 1).map(text), Some("a".to_owned()));
        assert_eq!(find(&both, 2).and_then(number), Some(258));
        assert_eq!(find(&both, 3), None);
        assert_eq!(all(&both).count(), 2);
    }

    #[test]
    fn damaged_attributes_end_the_search() {
        for bytes in [&[0][..], &[0; 4], &[3, 0, 1, 0], &[255, 0, 2, 0, 1]] {
            assert_eq!(find(bytes, 1), None, "{bytes:?}");
            assert_eq!(all(bytes).collect::<Vec<_>>(), [None], "{bytes:?}");
        }
        assert_eq!(all(&[]).next(), None);
    }

    #[test]
    fn what_is_put_is_found() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, 7, "four");
        nest(&mut bytes, 8, |bytes| {
            put_number(bytes, 1, 0x0102_0304);
            put(bytes, 2, &[5]);
        });
        let expected = [
            &[9, 0, 7, 0][..],
            b"four\0\0\0\0",
            &[20, 0, 8, 0x80],
            &[8, 0, 1, 0, 1, 2, 3, 4],
            &[5, 0, 2, 0, 5, 0, 0, 0],
        ];
        // The tests run on machines that begin with the lower byte.
        assert_eq!(bytes, expected.concat());
        assert_eq!(find(&bytes, 7).map(text), Some("four".to_owned()));
        let inner = find(&bytes, 8).unwrap();
        assert_eq!(find(inner, 1).and_then(number), Some(0x0102_0304));
        assert_eq!(find(inner, 2), Some(&[5][..]));
    }
}
