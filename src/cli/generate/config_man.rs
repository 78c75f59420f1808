//! The man page of the configuration, section 5 (file formats).

use roff::{Roff, bold, italic, roman};

use super::man::{paragraphs, title};
use crate::config::{HOST_KEYS, KEYS, Key};

/// An example of a configuration.
const EXAMPLE: &str = "\
[[lockdown]]
address = \"169.254.169.254\"
users = [\"root\", \"cwagent\", \"ec2-instance-connect\"]
";

fn keys(page: &mut Roff, keys: &[Key]) {
    for key in keys {
        page.control("TP", []);
        page.text([bold(key.name), roman(" = "), roman(key.form)]);
        page.text([roman(key.meaning)]);
    }
}

/// Returns ip-lockdown-config(5).
pub(super) fn page() -> String {
    let mut page = title("ip-lockdown-config", "5");
    page.control("SH", ["NAME"]);
    page.text([roman(
        "ip-lockdown-config - configuration of locked addresses and allowed users",
    )]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("/etc/ip-lockdown/config.toml")]);
    page.control("br", []);
    page.text([italic("/etc/ip-lockdown/conf.d/*.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut page,
        &[
            "ip-lockdown applies this configuration at boot, and when `ip-lockdown apply` is given \
             no address. The format is TOML, with one table [[lockdown]] for each address. Unknown \
             keys are errors.",
            "`ip-lockdown enable ADDRESS USER...` writes the entry of this address and keeps \
             everything else in the file.",
            "Drop-ins are read after config.toml, in the order of their names. Entries for the same \
             address form one lockdown, which allows the users and groups of all of them, so that a \
             package can add its own user. `forwarded` and `only` are set by the first entry; a later \
             entry cannot change them. With --config FILE, drop-ins are read from conf.d beside FILE.",
            "The files, and all directories and links on the way to them, must be owned by root and \
             writable by nobody else. Otherwise the configuration is rejected.",
        ],
    );
    page.control("SH", ["KEYS OF THE HOST"]);
    page.text([roman(
        "These keys stand above the first [[lockdown]]. The first file sets them; a later file cannot \
         change them.",
    )]);
    keys(&mut page, &HOST_KEYS);
    page.control("SH", ["KEYS OF [[lockdown]]"]);
    keys(&mut page, &KEYS);
    page.control("SH", ["ERRORS"]);
    paragraphs(
        &mut page,
        &[
            "On the command line, `ip-lockdown apply` changes nothing if the configuration is wrong or \
             lists a name that does not exist. The error message contains file, line and column, and \
             the exit code is 2.",
            "At boot, and on `systemctl reload ip-lockdown`, a configuration that cannot be used leaves \
             locked addresses locked. The metadata service is locked for root only, unless it is locked already. \
             Other addresses that are not locked yet stay open. A name that does not exist is left \
             out, or keeps the id that the current rules have for it, unless another user has that id \
             now; ip-lockdown-settle.service waits for the name. The journal contains a warning, and the exit code is 4.",
        ],
    );
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("ip-lockdown"), roman("(8)")]);
    page.render()
}
