//! Sets and maps of another tool's table, and which of their elements a lookup may find.
//!
//! The elements are kept as the kernel dumped them, and decoded at each lookup: a set may have many
//! thousands.

use nix::libc;

use super::expression::Verdict;
use super::packet::{Byte, equal, within};
use super::strict_text;
use crate::ruleset::netlink::OBJECT;
use crate::ruleset::netlink::attributes::{ANY, all, each_once, find, number};

/// The elements of the set are intervals (enum nft_set_flags).
const INTERVAL: u32 = libc::NFT_SET_INTERVAL.cast_unsigned();
/// Packets add elements, or elements expire.
const CHANGES: u32 = (libc::NFT_SET_TIMEOUT | libc::NFT_SET_EVAL).cast_unsigned();
/// All flags up to NFT_SET_EXPR.
const KNOWN: u32 = 0x1ff;
/// The element ends an interval, or matches every key (enum nft_set_elem_flags).
const INTERVAL_END: u32 = libc::NFT_SET_ELEM_INTERVAL_END.cast_unsigned();
const CATCH_ALL: u32 = 2;
/// A value or a verdict (NFTA_DATA_VALUE, NFTA_DATA_VERDICT).
const VALUE: u16 = 1;
const VERDICT: u16 = 2;

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    flags: u32,
    key_length: usize,
    /// The lengths of the parts of a concatenation, where the kernel reports them.
    fields: Vec<usize>,
    lists: Vec<Elements>,
}

/// Elements of a set: the content of NFTA_SET_ELEM_LIST_ELEMENTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elements(Vec<u8>);

impl Elements {
    /// Reads the elements of one message of a dump (enum nft_set_elem_list_attributes); `None` if
    /// the message is damaged.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<Self> {
        let attributes = object.get(OBJECT..)?;
        each_once(attributes, ANY)?;
        let list = find(attributes, 3).unwrap_or_default();
        let whole = all(list).all(|element| Element::read(element).is_some());
        whole.then(|| Self(list.to_vec()))
    }

    fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        all(&self.0).filter_map(Element::read)
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    flags: u32,
    key: &'a [u8],
    /// The last key, if the element is a range of keys.
    last: Option<&'a [u8]>,
    /// The content of NFTA_SET_ELEM_DATA.
    data: Option<&'a [u8]>,
}

impl<'a> Element<'a> {
    fn read(element: Option<(u16, &'a [u8])>) -> Option<Self> {
        // NFTA_LIST_ELEM; NFTA_SET_ELEM_KEY, _DATA, _FLAGS, _KEY_END
        let (1, element) = element? else {
            return None;
        };
        each_once(element, ANY)?;
        let value = |kind| match find(element, kind) {
            None => Some(None),
            Some(data) => {
                each_once(data, VALUE)?;
                Some(Some(find(data, VALUE)?))
            }
        };
        let flags = find(element, 3).map_or(Some(0), number)?;
        let key: Option<&[u8]> = value(1)?;
        if key.is_none() && flags & CATCH_ALL == 0 {
            return None;
        }
        Some(Self {
            flags,
            key: key.unwrap_or_default(),
            last: value(10)?,
            data: find(element, 2),
        })
    }

    /// The verdict of a map element; `None` if it has none that is known.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let data = self.data?;
        each_once(data, VERDICT)?;
        Verdict::read(find(data, VERDICT)?)
    }
}

/// The result of a lookup.
pub(super) struct Found<'a> {
    /// Whether the lookup finds an element; `None` if that is not known.
    pub(super) any: Option<bool>,
    /// The elements that the lookup may find.
    pub(super) elements: Vec<Element<'a>>,
}

impl Set {
    /// Reads the name of a set and the set, without elements, from an object of a dump (enum
    /// nft_set_attributes); `None` if it is damaged.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<(String, Self)> {
        // NFTA_SET_NAME, _FLAGS, _KEY_LEN, _DESC; NFTA_SET_DESC_CONCAT; NFTA_LIST_ELEM,
        // NFTA_SET_FIELD_LEN
        let attributes = object.get(OBJECT..)?;
        each_once(attributes, ANY)?;
        let name = strict_text(find(attributes, 2)?)?.to_owned();
        let description = find(attributes, 9).unwrap_or_default();
        let concatenation = find(description, 2).unwrap_or_default();
        let field = |element: Option<(u16, &[u8])>| {
            let (1, field) = element? else {
                return None;
            };
            usize::try_from(number(find(field, 1)?)?).ok()
        };
        each_once(description, ANY)?;
        let set = Self {
            flags: find(attributes, 3).map_or(Some(0), number)?,
            key_length: usize::try_from(number(find(attributes, 5)?)?).ok()?,
            fields: all(concatenation).map(field).collect::<Option<_>>()?,
            lists: Vec::new(),
        };
        // Each part of a concatenation starts at a new register.
        let parts = set
            .fields
            .iter()
            .map(|length| length.checked_next_multiple_of(4));
        let length = parts.sum::<Option<usize>>()?;
        if !set.fields.is_empty() && length != set.key_length {
            return None;
        }
        Some((name, set))
    }

    /// Sets the elements.
    #[must_use]
    pub fn with(self, lists: Vec<Elements>) -> Self {
        Self { lists, ..self }
    }

    pub(super) fn key_length(&self) -> usize {
        self.key_length
    }

    /// Whether only a change of the ruleset can change its elements.
    pub(super) fn is_constant(&self) -> bool {
        self.flags & CHANGES == 0 && self.flags & !KNOWN == 0
    }

    /// Looks up a key.
    pub(super) fn find(&self, key: &[Byte]) -> Found<'_> {
        let mut found = Found {
            any: Some(false),
            elements: Vec::new(),
        };
        let mut add = |matches: Option<bool>, element| {
            if matches != Some(false) {
                found.elements.push(element);
            }
            found.any = match (found.any, matches) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
        };
        // In a tree of intervals, an element matches all keys up to the next element. So the key
        // belongs to the last element that is not after it. Of two elements with the same key, this
        // is the one that starts an interval.
        let known = key.iter().map(|byte| match byte {
            Byte::Is(byte) => Some(*byte),
            Byte::Any | Byte::Not(_) => None,
        });
        let known: Option<Vec<u8>> = known.collect();
        let mut nearest: Option<Element<'_>> = None;
        for element in self.lists.iter().flat_map(Elements::iter) {
            if element.flags & CATCH_ALL != 0 {
                add(Some(true), element);
                continue;
            }
            let is_in_tree = self.flags & INTERVAL != 0 && self.fields.len() < 2;
            if !is_in_tree || element.last.is_some() {
                add(self.matches(&element, key), element);
                continue;
            }
            let ends = |element: &Element<'_>| element.flags & INTERVAL_END != 0;
            match &known {
                None if ends(&element) => {}
                Some(known) if element.key.len() == known.len() => {
                    let later = |other: Element<'_>| {
                        (element.key, !ends(&element)) > (other.key, !ends(&other))
                    };
                    if element.key <= &known[..] && nearest.is_none_or(later) {
                        nearest = Some(element);
                    }
                }
                _ => add(None, element),
            }
        }
        if let Some(element) = nearest
            && element.flags & INTERVAL_END == 0
        {
            add(Some(true), element);
        }
        found
    }

    /// Whether the element matches the key, part by part.
    fn matches(&self, element: &Element<'_>, key: &[Byte]) -> Option<bool> {
        let Some(last) = element.last else {
            return equal(key, element.key);
        };
        let whole = [key.len()];
        let fields = match &self.fields[..] {
            [] => &whole[..],
            fields => fields,
        };
        let mut at = 0_usize;
        let mut known = Some(true);
        for length in fields {
            let end = at.checked_add(*length)?;
            let part = within(
                key.get(at..end)?,
                element.key.get(at..end)?,
                last.get(at..end)?,
            );
            match part {
                Some(true) => {}
                Some(false) => return Some(false),
                None => known = None,
            }
            // The next part starts at a new register.
            at = end.checked_next_multiple_of(4)?;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::netlink::attributes::{nest, put, put_number, put_text};

    /// An element: its first key, its last one if there is one, its flags.
    type Written<'a> = (&'a [u8], Option<&'a [u8]>, u32);

    fn set(flags: i32, fields: &[u32], key_length: u32, elements: &[Written<'_>]) -> Set {
        let mut bytes = vec![2, 0, 0, 0];
        put_text(&mut bytes, 1, "x");
        put_text(&mut bytes, 2, "s");
        put_number(&mut bytes, 3, flags.cast_unsigned());
        put_number(&mut bytes, 5, key_length);
        nest(&mut bytes, 9, |description| {
            nest(description, 2, |concatenation| {
                for length in fields {
                    nest(concatenation, 1, |field| put_number(field, 1, *length));
                }
            });
        });
        let (name, set) = Set::read(&bytes).unwrap();
        assert_eq!(name, "s");
        let mut list = vec![2, 0, 0, 0];
        nest(&mut list, 3, |list| {
            for (key, last, flags) in elements {
                nest(list, 1, |element| {
                    if !key.is_empty() {
                        nest(element, 1, |data| put(data, VALUE, key));
                    }
                    put_number(element, 3, *flags);
                    if let Some(last) = last {
                        nest(element, 10, |data| put(data, VALUE, last));
                    }
                });
            }
        });
        set.with(vec![Elements::read(&list).unwrap()])
    }

    fn known(bytes: &[u8]) -> Vec<Byte> {
        bytes.iter().copied().map(Byte::Is).collect()
    }

    fn found(set: &Set, key: &[Byte]) -> (Option<bool>, usize) {
        let found = set.find(key);
        (found.any, found.elements.len())
    }

    #[test]
    fn an_interval_goes_to_the_next_element() {
        // 10 to 19 and 20 to 29, in whatever order the kernel lists them; 40 and above.
        let elements: [Written<'_>; 6] = [
            (&[40], None, 0),
            (&[30], None, INTERVAL_END),
            (&[20], None, 0),
            (&[20], None, INTERVAL_END),
            (&[10], None, 0),
            (&[0], None, INTERVAL_END),
        ];
        for reversed in [false, true] {
            let mut elements = elements;
            if reversed {
                elements.reverse();
            }
            let set = set(libc::NFT_SET_INTERVAL, &[], 1, &elements);
            for (key, inside) in [
                (0, false),
                (9, false),
                (10, true),
                (19, true),
                (20, true),
                (29, true),
                (30, false),
                (39, false),
                (40, true),
                (255, true),
            ] {
                let expected = (Some(inside), usize::from(inside));
                assert_eq!(found(&set, &known(&[key])), expected, "{key}");
            }
            assert_eq!(found(&set, &[Byte::Any]), (None, 3));
            assert_eq!(found(&set, &known(&[1, 2])), (None, 6), "of another length");
        }
    }

    #[test]
    fn each_part_of_a_concatenation_is_within_its_own_range() {
        let first: &[u8] = &[10, 0, 0, 0, 0, 80, 0, 0];
        let last: &[u8] = &[10, 0, 0, 255, 0, 90, 0, 0];
        let set = set(
            libc::NFT_SET_INTERVAL,
            &[4, 2],
            8,
            &[(first, Some(last), 0)],
        );
        let key = |host, port| known(&[10, 0, 0, host, 0, port, 0, 0]);
        assert_eq!(found(&set, &key(7, 85)), (Some(true), 1));
        assert_eq!(found(&set, &key(7, 91)), (Some(false), 0));
        let mut port_only = key(7, 85);
        port_only[3] = Byte::Any;
        assert_eq!(found(&set, &port_only), (None, 1));
        port_only[0] = Byte::Any;
        assert_eq!(found(&set, &port_only), (None, 1));
        port_only[5] = Byte::Is(1);
        assert_eq!(found(&set, &port_only), (Some(false), 0));
    }

    #[test]
    fn a_set_that_catches_all_has_every_key() {
        let elements: [Written<'_>; 2] = [(&[1], None, 0), (&[], None, CATCH_ALL)];
        let set = set(0, &[], 1, &elements);
        assert_eq!(found(&set, &known(&[9])), (Some(true), 1));
        assert_eq!(found(&set, &known(&[1])), (Some(true), 2));
    }

    #[test]
    fn sets_that_packets_or_time_change_are_not_constant() {
        assert!(set(0, &[], 1, &[]).is_constant());
        for flags in [libc::NFT_SET_EVAL, libc::NFT_SET_TIMEOUT, 0x200] {
            assert!(!set(flags, &[], 1, &[]).is_constant(), "{flags}");
        }
    }
}
