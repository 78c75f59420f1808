//! Netlink attributes (linux/netlink.h, struct nlattr): length and type, two bytes each in this
//! machine's order, then the value, filled up to four bytes. nf_tables has numbers in network
//! order.

use nix::libc;

/// Length and type.
const HEADER: usize = 4;
/// The value is attributes.
const NESTED: u16 = super::short(libc::NLA_F_NESTED);
/// The two upper bits of a type are flags (NLA_TYPE_MASK).
const KIND: u16 = !(NESTED | super::short(libc::NLA_F_NET_BYTEORDER));

/// What a length is filled up to.
#[must_use]
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The attributes in their order, type and value each, as far as they are whole; the last one is
/// `None` where something is broken.
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

/// `None` unless the attributes are whole, of types from 1 to `most`, and of each type there is one
/// at most. (A list of attributes that was cut off may leave some of them to what is around it.)
#[must_use]
pub(crate) fn each_once(attributes: &[u8], most: u16) -> Option<()> {
    let mut seen = 0_u64;
    for attribute in all(attributes) {
        let (kind, _) = attribute?;
        let bit = 1_u64.checked_shl(u32::from(kind))?;
        (kind <= most && seen & bit == 0).then_some(())?;
        seen |= bit;
    }
    Some(())
}

/// The highest type that [`each_once`] can tell from others.
pub(crate) const ANY: u16 = 63;

/// The value of the first attribute of that type.
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

/// A value that is a number of 32 bits.
#[must_use]
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A value that is a number of 64 bits.
#[must_use]
pub(crate) fn long_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// A value that is a text, up to the zero at its end. Bytes that are not UTF-8 are replaced.
#[must_use]
pub(crate) fn text(value: &[u8]) -> String {
    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Appends an attribute.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    wrap(bytes, kind, |bytes| bytes.extend_from_slice(value));
}

/// Appends an attribute that is a number of 32 bits.
pub(crate) fn put_number(bytes: &mut Vec<u8>, kind: u16, number: u32) {
    put(bytes, kind, &number.to_be_bytes());
}

/// Appends an attribute that is a text.
pub(crate) fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    wrap(bytes, kind, |bytes| {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    });
}

/// Appends an attribute of attributes, which `fill` appends.
pub(crate) fn nest(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    wrap(bytes, kind | NESTED, fill);
}

/// Appends what `fill` appends, with a header before it.
fn wrap(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; HEADER]);
    fill(bytes);
    let length = bytes.len() - start;
    bytes.resize(start + aligned(length), 0);
    debug_assert!(u16::try_from(length).is_ok(), "no attribute is that long");
    // One that is too long would be refused by the kernel as a whole.
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
