//! Rules split into tokens, by the quoting rules of `iptables-save`.

/// Splits a rule into tokens. Blanks separate them. A double quote at the start of a token begins a
/// quoted token, in which a backslash escapes the next character.
#[must_use]
pub fn tokens(spec: &str) -> Vec<String> {
    let mut reader = Tokens::default();
    reader.read(spec);
    reader.done.extend(reader.open);
    reader.done
}

/// Options whose values iptables quotes where needed (`xtables_save_string` and similar). It prints
/// all other values verbatim, even if they begin with a quote.
const QUOTED: &[&str] = &[
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--ulog-prefix",
    "--string",
    "--hex-string",
    "--helper",
    "--path",
    "--u32",
    "--bytecode",
    "--object-pinned",
];

/// The tokens of the part of a rule that was read so far.
#[derive(Default)]
pub(super) struct Tokens {
    done: Vec<String>,
    open: Option<String>,
    pub(super) quoted: bool,
    escaped: bool,
}

impl Tokens {
    pub(super) fn read(&mut self, text: &str) {
        for letter in text.chars() {
            if std::mem::take(&mut self.escaped) {
                self.open.get_or_insert_default().push(letter);
                continue;
            }
            match letter {
                '"' if self.quoted => self.quoted = false,
                '"' if self.open.is_none() && !self.is_verbatim() => {
                    self.quoted = true;
                    self.open = Some(String::new());
                }
                '\\' if self.quoted => self.escaped = true,
                ' ' if !self.quoted => self.done.extend(self.open.take()),
                _ => self.open.get_or_insert_default().push(letter),
            }
        }
    }

    fn is_verbatim(&self) -> bool {
        !self
            .done
            .last()
            .is_some_and(|option| QUOTED.contains(&option.as_str()))
    }
}
