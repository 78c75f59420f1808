//! Text for messages: shortened, quoted, and the nearest known name.

/// Shortens a text to at most one line of a message.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Quotes a text: shortened, control characters escaped.
pub(crate) fn quote(text: &str) -> String {
    format!("{:?}", short(text))
}

/// Finds the name that was probably meant.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 100 {
        return None;
    }
    let text = text.to_ascii_lowercase();
    names
        .map(|name| {
            (
                strsim::osa_distance(&name.to_ascii_lowercase(), &text),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= 1 + name.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
