//! Rules as words, the way `iptables-save` quotes them.

/// Splits a rule into words as `iptables-save` writes them: blanks separate, a double quote at the
/// beginning of a word holds it together, a backslash in there takes the next character as it is.
#[must_use]
pub fn words(spec: &str) -> Vec<String> {
    let mut words = Words::default();
    words.read(spec);
    words.done.extend(words.open);
    words.done
}

/// Options whose values iptables prints in quotes where need be (`xtables_save_string` and the
/// like). Every other value is printed as it is, even if it begins with a quote.
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

/// The words of a rule as far as it has been read.
#[derive(Default)]
pub(super) struct Words {
    done: Vec<String>,
    open: Option<String>,
    pub(super) quoted: bool,
    escaped: bool,
}

impl Words {
    pub(super) fn read(&mut self, text: &str) {
        for letter in text.chars() {
            if std::mem::take(&mut self.escaped) {
                self.open.get_or_insert_default().push(letter);
                continue;
            }
            match letter {
                '"' if self.quoted => self.quoted = false,
                '"' if self.open.is_none() && !self.takes_quotes_as_they_are() => {
                    self.quoted = true;
                    self.open = Some(String::new());
                }
                '\\' if self.quoted => self.escaped = true,
                ' ' if !self.quoted => self.done.extend(self.open.take()),
                _ => self.open.get_or_insert_default().push(letter),
            }
        }
    }

    fn takes_quotes_as_they_are(&self) -> bool {
        !self
            .done
            .last()
            .is_some_and(|option| QUOTED.contains(&option.as_str()))
    }
}
