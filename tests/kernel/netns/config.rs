//! The configuration: which owners and modes of files are accepted, and what `apply` and `verify` do with the entries.

use lab::{Done, IMDS, IMDS_V4, IMDS_V6, Lab, User};

use crate::hosts::{alone, legacy, nft};
use crate::netns::support::{V4, lock, only_root, refused, served, verify};

/// Where the configuration is.
pub(crate) const CONFIG: &str = "/etc/ip-lockdown/config.toml";

/// A configuration that locks the metadata service to these users.
pub(crate) fn imds(users: &str) -> String {
    format!("[[lockdown]]\naddress = \"{V4}\"\nusers = [{users}]\n")
}

/// Writes a file of the configuration, as root would.
#[track_caller]
pub(crate) fn write(lab: &Lab, path: &str, text: &str) {
    lab.sh(&format!(
        "mkdir -p $(dirname {path}); cat > {path} <<'TEXT'\n{text}\nTEXT\ntruncate --size=-1 {path}"
    ))
    .expect_code(0);
}

on_every_host! {
    fn apply_without_an_address_takes_the_configuration(lab) {
        write(lab, CONFIG, &imds("\"root\""));
        write(lab, "/etc/ip-lockdown/conf.d/agent.toml", &imds("1001"));
        lock(lab, &["apply"]);
        served(lab, &User::ROOT, &IMDS);
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        let second = lock(lab, &["apply"]);
        assert!(second.stdout.contains("(unchanged)"), "{second}");
        verify(lab, 0, &[]).expect_said("config-usable", "can be used");
        verify(lab, 0, &[V4, "root", "1001"]);
    }

    fn several_lockdowns_are_one_run(lab) {
        let text = format!("{}[[lockdown]]\naddress = \"169.254.169.253\"\nusers = [\"alice\"]\n", imds("\"root\""));
        write(lab, CONFIG, &text);
        let done = lock(lab, &["apply"]);
        let locked = done.stdout.lines().filter(|line| line.contains(": locked, "));
        assert_eq!(locked.count(), 2, "{done}");
        only_root(lab);
        refused(lab, &User::ROOT, &[lab::DNS_V4]);
        served(lab, &User::ALICE, &[lab::DNS_V4]);
        verify(lab, 0, &[]);
        let json: serde_json::Value = lock(lab, &["apply", "--output=json"]).json();
        assert_eq!(json["locks"].as_array().map(Vec::len), Some(2), "{json}");
    }

    fn the_halves_of_the_pair_may_have_lists_of_their_own(lab) {
        lock(lab, &[V4, "root"]);
        let text = format!(
            "{}only = true\n[[lockdown]]\naddress = \"fd00:ec2::254\"\nusers = [\"bob\"]\nonly = true\n",
            imds("\"alice\"")
        );
        write(lab, CONFIG, &text);
        lock(lab, &["apply"]);
        served(lab, &User::ALICE, &[IMDS_V4]);
        refused(lab, &User::ALICE, &[IMDS_V6]);
        served(lab, &User::BOB, &[IMDS_V6]);
        refused(lab, &User::ROOT, &IMDS);
        verify(lab, 0, &[]);
    }
}

#[test]
fn a_dry_run_of_the_configuration_prints_all_of_it_and_changes_nothing() {
    let lab = nft();
    write(
        &lab,
        CONFIG,
        &format!("{}[[lockdown]]\naddress = \"10.0.0.1\"\n", imds("\"root\"")),
    );
    let done = lab.lockdown(&["apply", "--dry-run"]).expect_code(0);
    for chain in ["IPL-169.254.169.254", "IPL-fd00:ec2::254", "IPL-10.0.0.1"] {
        assert!(done.stdout.contains(chain), "{done}");
    }
    served(&lab, &User::MALLORY, &IMDS);
}

#[test]
fn verify_fails_when_the_installed_lockdown_is_not_the_configured_one() {
    let lab = nft();
    write(&lab, CONFIG, &imds("\"root\""));
    verify(&lab, 1, &[]).expect_failed("as-asked", "no intact lockdown");
    lock(&lab, &[V4, "root", "alice"]);
    let verdict = verify(&lab, 1, &[]);
    verdict.expect_failed("as-asked", "different users");
    assert_eq!(verdict.failed(), ["as-asked"]);
    // Asked in words, the configuration does not matter.
    verify(&lab, 0, &[V4, "root", "alice"]);
    lock(&lab, &["apply"]);
    verify(&lab, 0, &[]);
    // What it does not name stays locked, and is no fault.
    lab.lockdown(&["169.254.169.253"]).expect_code(0);
    verify(&lab, 0, &[]);
}

#[test]
fn the_configuration_is_read_again_once_the_lock_is_held() {
    let lab = nft();
    write(&lab, CONFIG, &imds("\"root\", \"mallory\""));
    lock(&lab, &["apply"]);
    let waiting = |words: &str, meanwhile: &str| {
        let program = lab::lockdown_program();
        let program = format!("{} {}", program.display(), lab.options().join(" "));
        lab.sh(&format!(
            "exec 9> /run/ip-lockdown.lock; flock 9
             {program} {words} 9>&- & run=$!
             sleep 0.5; {meanwhile}
             flock -u 9; wait $run"
        ))
    };
    let drop_mallory = format!("sed -i 's/, \"mallory\"//' {CONFIG}");
    waiting("apply", &drop_mallory).expect_code(0);
    only_root(&lab);
    verify(&lab, 0, &[]);
    // The other way around: what stands is judged by what the configuration says then.
    let add_mallory = format!("sed -i 's/\"root\"/\"root\", \"mallory\"/' {CONFIG}");
    let done = waiting("verify -v", &add_mallory).expect_code(1);
    assert!(done.stdout.contains("as-asked"), "{done}");
    // What is wrong from the beginning is told without a turn.
    write(&lab, CONFIG, "[[lockdown");
    let begun = std::time::Instant::now();
    let done = lab
        .sh(&format!(
            "exec 9> /run/ip-lockdown.lock; flock 9; {} apply",
            lab::lockdown_program().display()
        ))
        .expect_code(2);
    assert!(begun.elapsed().as_secs() < 5, "{done}");
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing() {
    let lab = nft();
    lock(&lab, &[V4, "root"]);
    for (text, told) in [
        (
            "[[lockdown]]\naddres = \"169.254.169.254\"\n",
            "config.toml:2:1: there is no key `addres` here\nhelp: a similar key exists: `address`",
        ),
        (
            &imds("\"no-such-user\""),
            "there is no user \"no-such-user\"",
        ),
        ("# nothing\n", "contain no [[lockdown]]"),
        ("[[lockdown", "config.toml:1:"),
    ] {
        write(&lab, CONFIG, text);
        let done = lab.lockdown(&["apply"]).expect_code(2);
        assert!(done.stderr.contains(told), "{told}: {done}");
        only_root(&lab);
    }
    write(&lab, CONFIG, "[[lockdown");
    // The rules are looked at all the same.
    let verdict = verify(&lab, 4, &[]);
    assert_eq!(verdict.failed(), ["config-usable"]);
    lab.sh("rm -r /etc/ip-lockdown").expect_code(0);
    let done = lab.lockdown(&["apply"]).expect_code(2);
    assert!(done.stderr.contains("there is no configuration"), "{done}");
    // Nobody said that there should be one.
    verify(&lab, 0, &[]);
    verify(&lab, 4, &["--config", "/etc/none.toml"])
        .expect_failed("config-usable", "/etc/none.toml does not exist");
    let done = lab
        .lockdown(&["apply", "--config", "/dev/zero"])
        .expect_code(2);
    assert!(done.stderr.contains("not a file"), "{done}");
    lab.sh("head -c 2000000 /dev/zero > /etc/big.toml; printf '\\377' > /etc/odd.toml")
        .expect_code(0);
    for (file, told) in [("big", "larger than 1 MiB"), ("odd", "not UTF-8")] {
        let file = format!("/etc/{file}.toml");
        let done = lab.lockdown(&["apply", "--config", &file]).expect_code(2);
        assert!(done.stderr.contains(told), "{done}");
    }
}

#[test]
fn nothing_is_read_that_other_users_could_have_written() {
    let lab = nft();
    lock(&lab, &[V4, "root"]);
    write(&lab, CONFIG, &imds("\"mallory\""));
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/more.toml",
        &imds("\"mallory\""),
    );
    lab.sh("mkdir -m 777 /etc/open; cp /etc/ip-lockdown/config.toml /etc/open")
        .expect_code(0);
    let folder = "/etc/ip-lockdown";
    for (spoil, told, mend) in [
        (
            format!("chmod 666 {CONFIG}"),
            "config.toml is writable by other users (mode 0666)",
            format!("chmod 644 {CONFIG}"),
        ),
        (
            format!("chmod 664 {CONFIG}"),
            "(mode 0664)",
            format!("chmod 644 {CONFIG}"),
        ),
        (
            format!("chown 1666 {CONFIG}"),
            "config.toml belongs to uid 1666",
            format!("chown 0 {CONFIG}"),
        ),
        (
            format!("chmod 777 {folder}"),
            "/etc/ip-lockdown is writable by other users",
            format!("chmod 755 {folder}"),
        ),
        (
            format!("chown 1666 {folder}"),
            "/etc/ip-lockdown belongs to uid 1666",
            format!("chown 0 {folder}"),
        ),
        (
            format!("chmod 1777 {folder}/conf.d"),
            "conf.d is writable by other users",
            format!("chmod 755 {folder}/conf.d"),
        ),
        (
            format!("chown 1666 {folder}/conf.d/more.toml"),
            "more.toml belongs to uid 1666",
            format!("chown 0 {folder}/conf.d/more.toml"),
        ),
        (
            format!("mv {CONFIG} /etc/away; ln -s /etc/open/config.toml {CONFIG}"),
            "/etc/open is writable by other users",
            format!("mv /etc/away {CONFIG}"),
        ),
    ] {
        lab.sh(&spoil).expect_code(0);
        let done = lab.lockdown(&["apply"]).expect_code(2);
        assert!(done.stderr.contains(told), "{spoil}: {done}");
        verify(&lab, 4, &[]).expect_failed("config-usable", told);
        lab.sh(&mend).expect_code(0);
        only_root(&lab);
    }
    // A link that only root could have made, to a file that only root can write, is as good as the file.
    lab.sh(&format!(
        "mv {CONFIG} /etc/elsewhere.toml; ln -s ../elsewhere.toml {CONFIG}"
    ))
    .expect_code(0);
    lock(&lab, &["apply"]);
    served(&lab, &User::MALLORY, &IMDS);
}

#[test]
fn a_dangling_link_is_not_a_missing_configuration() {
    let lab = nft();
    lock(&lab, &[V4, "root"]);
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/agent.toml",
        "[[lockdown]]\naddress = \"10.0.0.1\"\n",
    );
    for link in [CONFIG, "/etc/ip-lockdown/conf.d/other.toml"] {
        lab.sh(&format!("ln -s /mnt/none/x.toml {link}"))
            .expect_code(0);
        let done = lab.lockdown(&["apply"]).expect_code(2);
        assert!(done.stderr.contains("No such file"), "{done}");
        lab.lockdown(&["apply", "--boot"]).expect_code(4);
        only_root(&lab);
        lab.run(&["rm", link]).expect_code(0);
    }
    // Whoever can write there could have taken a file away.
    lab.sh("chmod 777 /etc/ip-lockdown/conf.d; rm /etc/ip-lockdown/conf.d/*")
        .expect_code(0);
    write(&lab, CONFIG, &imds("\"root\""));
    let done = lab.lockdown(&["apply"]).expect_code(2);
    assert!(
        done.stderr.contains("conf.d is writable by other users"),
        "{done}"
    );
}

#[test]
fn a_folder_reached_by_a_link_is_read_with_and_without_drop_ins() {
    let lab = nft();
    lab.sh("mkdir -p /etc/kept/ip-lockdown; ln -s kept/ip-lockdown /etc/ip-lockdown")
        .expect_code(0);
    // There is none yet, which is an answer: the link leads somewhere.
    let done = lab.lockdown(&["apply"]).expect_code(2);
    assert!(done.stderr.contains("there is no configuration"), "{done}");
    write(&lab, CONFIG, &imds("\"root\""));
    lock(&lab, &["apply"]);
    only_root(&lab);
    lab.sh(&format!(
        "mv {CONFIG} /etc/kept; ln -s ../config.toml {CONFIG}"
    ))
    .expect_code(0);
    lock(&lab, &["apply"]);
    write(
        &lab,
        "/etc/ip-lockdown/conf.d/agent.toml",
        &imds("\"alice\""),
    );
    lock(&lab, &["apply"]);
    served(&lab, &User::ALICE, &IMDS);
    // A link whose end is missing is none.
    lab.sh("mv /etc/kept /etc/away").expect_code(0);
    let done = lab.lockdown(&["apply"]).expect_code(2);
    assert!(done.stderr.contains("No such file"), "{done}");
}

#[test]
fn a_link_that_is_another_users_is_not_followed() {
    let lab = nft();
    lock(&lab, &[V4, "root"]);
    write(&lab, "/etc/kept/config.toml", &imds("\"mallory\""));
    for (link, target) in [
        ("/etc/ip-lockdown", "/etc/kept"),
        (CONFIG, "/etc/kept/config.toml"),
    ] {
        lab.sh(&format!(
            "rm -rf /etc/ip-lockdown; mkdir -p $(dirname {link}); ln -s {target} {link}; chown -h 1666 {link}"
        ))
        .expect_code(0);
        let done = lab.lockdown(&["apply"]).expect_code(2);
        for told in [
            format!("{link} belongs to uid 1666"),
            format!("help: run `chown -h root {link}`"),
        ] {
            assert!(done.stderr.contains(&told), "{done}");
        }
        only_root(&lab);
    }
}

#[test]
fn an_endless_chain_of_links_is_an_error() {
    let lab = legacy();
    lab.sh("mkdir /etc/ip-lockdown; ln -s config.toml /etc/ip-lockdown/config.toml")
        .expect_code(0);
    let done = lab.lockdown(&["apply"]).expect_code(2);
    assert!(
        done.stderr.contains("Too many levels of symbolic links"),
        "{done}"
    );
}

#[test]
fn drop_ins_that_are_hidden_or_called_otherwise_are_no_configuration() {
    let lab = alone();
    write(&lab, CONFIG, &imds("\"root\""));
    for name in [".hidden.toml", "agent.toml.dpkg-new", "README"] {
        write(&lab, &format!("/etc/ip-lockdown/conf.d/{name}"), "[[[");
    }
    lock(&lab, &["apply"]);
    only_root(&lab);
}

on_every_host! {
    fn layers_of_the_configuration_hold_for_every_command(lab) {
        write(lab, CONFIG, &format!("layers = [\"nftables\"]\n{}", imds("\"root\"")));
        let run = |words: &[&str], code| {
            let mut command = lab.command(lab::lockdown_program());
            Done::of(command.args(words)).expect_code(code)
        };
        for words in [&["apply"][..], &["verify"], &["apply", "--boot"], &[V4, "root"], &["verify", V4, "root"]] {
            run(words, 0);
            let rules = lab.sh("nft list ruleset").expect_code(0).stdout;
            assert!(rules.contains("ip_lockdown"));
            let status = run(&["status"], 0).stdout;
            assert!(status.contains("layers      nftables"), "{status}");
            only_root(lab);
        }
        // The command line overrides it.
        if !lab.is_without_iptables() {
            run(&["--layers=auto", "apply"], 0);
            let status = run(&["status"], 0).stdout;
            assert!(status.contains("filter and nftables"), "{status}");
            run(&["verify"], 1);
        }
        // Without a usable configuration, a command that needs nothing else of it goes on.
        write(lab, CONFIG, "layers = [\n");
        let done = run(&[V4, "root"], 0);
        assert!(done.stderr.contains("`layers` and `variant` of the configuration are not used"), "{done}");
        only_root(lab);
    }
}
