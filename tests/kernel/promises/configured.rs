//! `apply --boot`, which the boot unit runs, never opens an address, with any configuration.

use lab::Lab;

use crate::promises::never_open::each_after_each;
use crate::promises::support::{
    apply, assert_hammer_gets_through, assert_kept_out, hammered, turn_to_hammer,
};

/// Ways to leave the configuration, each from whatever was before: the last words of a script in `/etc/ip-lockdown`.
/// None of them lists mallory.
const STATES: [&str; 10] = [
    "lock root",
    "lock root alice bob",
    "lock root ghost",
    "lock",
    "lock root; echo 'only = true' >> config.toml",
    "lock root; echo 'forwarded = \"allow\"' >> config.toml",
    "lock root; mkdir conf.d; sed s/root/alice/ config.toml > conf.d/alice.toml",
    "lock mallory; chmod 666 config.toml",
    "lock mallory; echo '[[lockdown' >> config.toml",
    ":",
];

const LOCK: &str = r#"
lock() {
  printf '[[lockdown]]\naddress = "169.254.169.254"\nusers = [%s]\n' "${1+$(printf '"%s",' "$@")}" > config.toml
}
rm -rf /etc/ip-lockdown; mkdir /etc/ip-lockdown; cd /etc/ip-lockdown
"#;

fn an_unlisted_user_never_gets_through_whatever_becomes_of_the_configuration(lab: &Lab) {
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    apply(lab, &["root"]);
    let mut codes = Vec::new();
    let order = each_after_each(STATES.len());
    for part in order.chunks(50) {
        let counts = hammered(lab, || {
            for &nth in part {
                let state = STATES[nth];
                lab.sh(&format!("{LOCK}{state}")).expect_code(0);
                let done = lab.lockdown(&["apply", "--boot"]);
                let usable = nth <= 6 && nth != 2;
                let expected = if usable { Some(0) } else { Some(4) };
                assert_eq!(done.code, expected, "{state}: {done}");
                codes.push(done.code);
            }
        });
        assert_kept_out(counts, 10 * 50);
    }
    assert_eq!(codes.len(), STATES.len() * STATES.len());
}
on_every_host!(an_unlisted_user_never_gets_through_whatever_becomes_of_the_configuration);
