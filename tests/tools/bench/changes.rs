//! The cost of a change of the rules, compared with `iptables-restore` and `nft` alone, and with a script that starts a
//! process for each rule.

use std::fs;

use lab::{Lab, Variant, lockdown_program};

use crate::page::Page;
use crate::series::AllSeries;

const IMDS: &str = "169.254.169.254";

/// How many users, and how often it is measured.
const SIZES: [(u32, u32); 5] = [(1, 25), (10, 15), (100, 11), (1000, 7), (10_000, 5)];

/// How often the script is measured: it takes seconds for hundreds of users, and minutes for more.
const SCRIPTED: [(u32, u32); 4] = [(1, 5), (10, 5), (100, 3), (1000, 1)];

/// A function of the shell that times what it is given, by the shell's own clock.
pub(crate) const TIMED: &str = r#"
timed() {
    local what=$1 start=$EPOCHREALTIME end
    shift
    "$@" > /run/out 2>&1 || { cat /run/out; exit 1; }
    end=$EPOCHREALTIME
    echo "$what $(( ${end/./} - ${start/./} ))"
}
"#;

/// What is used where there is nothing better: a chain of each family, emptied and filled a rule at a time.
const SCRIPT: &str = r#"
lock() {
    local iptables=$1 address=$2 user
    shift 2
    $iptables -N LOCK 2>/dev/null || $iptables -F LOCK
    for user in "$@"; do
        $iptables -A LOCK -m owner --uid-owner "$user" -j ACCEPT
    done
    $iptables -A LOCK -j REJECT
    $iptables -C OUTPUT -d "$address" -j LOCK 2>/dev/null || $iptables -I OUTPUT -d "$address" -j LOCK
}
script() {
    lock iptables-$variant 169.254.169.254 "$@"
    lock ip6tables-$variant fd00:ec2::254 "$@"
}
"#;

/// So many users, by their uids.
#[derive(Clone, Copy)]
struct Users {
    count: u32,
    /// In a row they are one rule for `apply`, and one each for a script; else none are neighbours, so that none of
    /// them share a rule.
    in_a_row: bool,
}

impl Users {
    fn apart(count: u32) -> Self {
        Self {
            count,
            in_a_row: false,
        }
    }

    fn in_a_row(count: u32) -> Self {
        Self {
            count,
            in_a_row: true,
        }
    }

    /// From the uid `first` on, as words.
    fn from(self, first: u32) -> String {
        let step = if self.in_a_row { 1 } else { 2 };
        let uids = (0..self.count).map(|nth| (first + nth * step).to_string());
        uids.collect::<Vec<_>>().join(" ")
    }

    fn name(self) -> String {
        let in_a_row = if self.in_a_row { " adjacent" } else { "" };
        format!("{}{in_a_row}", self.count)
    }
}

pub(crate) fn measure(page: &mut Page) {
    page.section(
        "apply",
        "Milliseconds, on a host without rules, as at boot. *Floor*: `iptables-restore`, `ip6tables-restore` and `nft -f` \
         install the same rules as `apply`, one after the other, without reading back and without probes (`apply` itself \
         needs no `nft`). *Script*: one `iptables` process for each rule, both families, `filter` only. *Again*: `apply` of \
         a lockdown that is installed already. *Other list*: `apply` replaces the users by as many others.",
    );
    page.head(&[
        "variant",
        "users",
        "floor",
        "apply",
        "apply / floor",
        "script",
        "script / apply",
        "again",
        "other list",
        "verify --no-probe",
        "verify",
        "status",
        "remove",
    ]);
    for variant in Variant::ALL {
        for (count, rounds) in SIZES {
            row(page, variant, Users::apart(count), rounds);
        }
        // One user is in a row with nobody.
        for (count, rounds) in SIZES.into_iter().skip(1) {
            row(page, variant, Users::in_a_row(count), rounds);
        }
    }
    let lab = Lab::new(Variant::Nft);
    let mut all = AllSeries::default();
    let program = lockdown_program();
    let script = format!(
        "{TIMED}for n in {{1..40}}; do timed start {} --version; timed true /bin/true; done",
        program.display()
    );
    add(&mut all, &lab.sh(&script).expect_code(0).stdout);
    page.section(
        "Start-up",
        &format!(
            "`ip-lockdown --version` takes {:.2} ms, `/bin/true` {:.2} ms, both started by the same shell.",
            all.of("start"),
            all.of("true")
        ),
    );
}

fn row(page: &mut Page, variant: Variant, users: Users, rounds: u32) {
    let times = times(variant, users, rounds);
    let script_rounds = SCRIPTED
        .iter()
        .find(|(count, _)| *count == users.count)
        .map(|(_, rounds)| *rounds);
    let scripted = script_rounds.map(|rounds| scripted(variant, users, rounds));
    let [script, against] = match &scripted {
        Some(scripted) => [
            format!("{:.0}", scripted.of("script")),
            format!(
                "{:.0}",
                scripted.of("script").median() / times.of("apply").median()
            ),
        ],
        None => ["not measured".to_owned(), String::new()],
    };
    let ms = |what| format!("{:.1}", times.of(what));
    page.row(&[
        variant.to_string(),
        users.name(),
        ms("floor"),
        ms("apply"),
        format!("**{:.2}**", times.ratio("apply", "floor")),
        script,
        against,
        ms("again"),
        ms("other"),
        ms("look"),
        ms("verify"),
        ms("status"),
        ms("remove"),
    ]);
}

/// Every round has hosts of its own, as fresh as at boot: one for the floor, one for the program.
fn times(variant: Variant, users: Users, rounds: u32) -> AllSeries {
    let (users, others) = (users.from(0), users.from(1));
    let program = lockdown_program();
    let lockdown = format!("{} --variant {variant}", program.display());
    let floor = format!(
        r#"
{lockdown} apply --dry-run {IMDS} {users} > /run/planned
awk '/^# (IPv|nft)/ {{ to = "/run/" $2 }} {{ print > to }}' /run/planned
floor() {{
    iptables-{variant}-restore --noflush -w 10 < /run/IPv4:
    ip6tables-{variant}-restore --noflush -w 10 < /run/IPv6:
    nft -f /run/nftables:
}}
timed floor floor
"#
    );
    let ours = format!(
        "
timed apply {lockdown} {IMDS} {users}
timed again {lockdown} {IMDS} {users}
timed other {lockdown} {IMDS} {others}
timed look holds {lockdown} verify --no-probe
timed verify {lockdown} verify
timed status {lockdown} status
timed remove {lockdown} remove
"
    );
    // Without probes it is degraded by definition.
    let holds = r#"holds() { "$@" || [[ $? = 4 ]]; }"#;
    let mut all = AllSeries::default();
    for _ in 0..rounds {
        for script in [&floor, &ours] {
            let lab = Lab::new(variant);
            // Too long for one argument of a program.
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(&file, format!("{TIMED}{holds}\n{script}")).expect("a script");
            let path = file.path().to_str().expect("a path of text");
            add(
                &mut all,
                &lab.run(&["bash", "-eu", path]).expect_code(0).stdout,
            );
        }
    }
    all
}

fn scripted(variant: Variant, users: Users, rounds: u32) -> AllSeries {
    let mut all = AllSeries::default();
    let users = users.from(0);
    for _ in 0..rounds {
        let lab = Lab::new(variant);
        let mut command = lab.command("bash");
        command.args([
            "-euc",
            &format!("{TIMED}variant={variant}{SCRIPT}timed script script {users}"),
        ]);
        let output = command.output().expect("bash starts");
        assert!(output.status.success(), "{output:?}");
        add(&mut all, &String::from_utf8_lossy(&output.stdout));
    }
    all
}

/// Lines of what was timed and how many microseconds it took, as milliseconds.
pub(crate) fn add(all: &mut AllSeries, lines: &str) {
    for line in lines.lines() {
        let (what, micros) = line.split_once(' ').expect("what and how long");
        let micros: f64 = micros.parse().expect("microseconds");
        all.add(what, micros / 1000.0);
    }
}

pub(crate) fn size(page: &mut Page) {
    let program = lockdown_program();
    let bytes = fs::metadata(&program).expect("it is built").len();
    let program = program.to_str().expect("a path of text").to_owned();
    page.section(
        "Size",
        &format!(
            "The program has {bytes} bytes. Memory of the largest process of one `apply`, started programs included, and of \
             the largest process of the floor's calls:"
        ),
    );
    page.head(&["variant", "users", "apply, KiB", "floor, KiB"]);
    for variant in Variant::ALL {
        for count in [1, 10_000] {
            let lab = Lab::new(variant);
            let users = Users::apart(count).from(0);
            let option = format!("--variant={variant}");
            let mut words = vec![program.as_str(), &option, "apply", "--dry-run", IMDS];
            words.extend(users.split(' '));
            let planned = lab.run(&words).expect_code(0).stdout;
            let bare = bare_calls(&lab, variant, &planned);
            words.retain(|word| *word != "--dry-run");
            let peak = lab.peak(&words);
            assert_eq!(peak.code, Some(0));
            page.row(&[
                variant.to_string(),
                count.to_string(),
                peak.kib.to_string(),
                bare.to_string(),
            ]);
        }
    }
}

/// The largest process of the bare calls, on a host where they change nothing that stays.
fn bare_calls(lab: &Lab, variant: Variant, planned: &str) -> u64 {
    let mut largest = 0;
    for part in planned.split("# ").filter(|part| !part.is_empty()) {
        let (head, text) = part
            .split_once('\n')
            .expect("a command line above its input");
        let program = match head.split(':').next() {
            Some("IPv4") => format!("iptables-{variant}-restore --test --noflush"),
            Some("IPv6") => format!("ip6tables-{variant}-restore --test --noflush"),
            _ => "nft --check -f".to_owned(),
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, text).expect("the rules");
        let words: Vec<&str> = program.split(' ').collect();
        let path = file.path().to_str().expect("a path of text");
        let peak = lab.peak(&[words.as_slice(), &[path]].concat());
        assert_eq!(peak.code, Some(0), "{program}");
        largest = largest.max(peak.kib);
    }
    largest
}
