//! The lab: three namespaces, the fake metadata service, and the ways to run something in it.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fmt};

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::namespace::{Namespace, PATH, await_line, enter, inhabitants};
use crate::{Counts, Done, Hammer, Hold, How, Outcome, Pace, Peak, Served, Sink, User, topology};

/// The metadata service.
pub const IMDS_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// The metadata service over IPv6.
pub const IMDS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
/// Both addresses of the metadata service.
pub const IMDS: [IpAddr; 2] = [IMDS_V4, IMDS_V6];
/// [`IMDS_V4`], as an argument of the program under test.
pub const V4: &str = "169.254.169.254";
/// [`IMDS_V6`], as an argument of the program under test.
pub const V6: &str = "fd00:ec2::254";
/// A neighbour of the metadata service, where the VPC has its DNS server: other traffic, which must keep
/// working. The lab serves the same HTTP there.
pub const DNS_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253));
/// The same over IPv6.
pub const DNS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253));

/// The programs that the bench itself, or a test in it, cannot do without.
const PROGRAMS: &[&str] = &[
    "awk",
    "bash",
    "curl",
    "ip",
    "ip6tables-legacy",
    "ip6tables-nft",
    "iptables-legacy",
    "iptables-nft",
    "mount",
    "nft",
    "nsenter",
    "setpriv",
    "ss",
    "systemctl",
    "unshare",
];

/// Which iptables a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// iptables over `nf_tables`.
    Nft,
    /// iptables as it was.
    Legacy,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nft, Self::Legacy];

    /// The one that this is not.
    pub const fn other(self) -> Self {
        match self {
            Self::Nft => Self::Legacy,
            Self::Legacy => Self::Nft,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}

/// An address family: `iptables` or `ip6tables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// A small network with a fake metadata service. See the [crate] for the picture.
#[derive(Debug)]
pub struct Lab {
    variant: Variant,
    /// What the program under test is told of it.
    options: Vec<String>,
    /// What its kernel seems to lack.
    lacks: Option<&'static str>,
    host: Namespace,
    imds: Namespace,
    container: Namespace,
    server: Child,
}

impl Lab {
    /// Sets up a lab for tests of one iptables variant. Its firewall is empty.
    ///
    /// # Panics
    /// With one line that says what is missing, where a lab cannot be set up.
    #[track_caller]
    pub fn new(variant: Variant) -> Self {
        Self::told(variant, &["--variant", &variant.to_string()])
    }

    /// The same, in which the program under test is told to lay these layers.
    ///
    /// # Panics
    /// As [`Lab::new`].
    #[track_caller]
    pub fn with_layers(variant: Variant, layers: &str) -> Self {
        let variant_word = variant.to_string();
        Self::told(variant, &["--variant", &variant_word, "--layers", layers])
    }

    /// A host without iptables, in which the program under test is told to lay nftables alone. Scripts of the
    /// lab still find iptables-nft, to play other tools: it is put aside, where only their `PATH` leads.
    ///
    /// # Panics
    /// As [`Lab::new`].
    #[track_caller]
    pub fn without_iptables() -> Self {
        let lab = Self::told(Variant::Nft, &["--layers", "nftables"]);
        lab.sh("cd /usr/sbin; mkdir -p /usr/lib/lab-put-aside
            for name in iptables* ip6tables* xtables-*; do
                real=$(realpath \"$name\")
                case $real in
                /usr/sbin/*) ln -sf \"${real##*/}\" \"/usr/lib/lab-put-aside/$name\" ;;
                esac
            done
            for multi in xtables-*-multi; do rm -f \"/usr/lib/lab-put-aside/$multi\"; done
            mv xtables-*-multi /usr/lib/lab-put-aside
            rm -f iptables* ip6tables* xtables-*")
            .expect_code(0);
        lab
    }

    /// From now on the program under test, and what it starts, sees a kernel without nf_tables.
    pub fn take_nf_tables(&mut self) {
        self.lacks = Some("nf-tables");
    }

    /// From now on it sees the kernel as it is.
    pub fn give_all_back(&mut self) {
        self.lacks = None;
    }

    #[track_caller]
    fn told(variant: Variant, options: &[&str]) -> Self {
        check_machine();
        let [host, imds, container] = topology::set_up();
        let server = serve(&mut enter(&imds, &host, lab_program()));
        let lab = Self {
            variant,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            lacks: None,
            host,
            imds,
            container,
            server,
        };
        // `iptables` is this variant, whatever the machine calls so.
        lab.sh(&format!(
            "cd /usr/sbin
            for name in iptables ip6tables; do
                for suffix in '' -save -restore; do ln -sfn $name-{variant}$suffix $name$suffix; done
            done"
        ))
        .expect_code(0);
        lab
    }

    /// The variant that the lab was made for.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// A program on the host, as root, in `/`, with nothing in its environment but `PATH` and `LC_ALL=C`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        enter(&self.host, &self.host, program)
    }

    /// The same in the container, which shares the host's files but not its network.
    pub fn in_container(&self, program: impl AsRef<OsStr>) -> Command {
        enter(&self.container, &self.host, program)
    }

    /// The same where the metadata service runs.
    pub fn in_imds(&self, program: impl AsRef<OsStr>) -> Command {
        enter(&self.imds, &self.host, program)
    }

    /// A program on the host to which the kernel looks as if it had no IPv6: no socket of that family can be
    /// made, and `/proc/sys/net` has nothing of it. Netlink still configures it.
    pub fn without_ipv6(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "bash", "-euc"])
            .arg("mount -t tmpfs none /proc/sys/net; exec \"$@\"")
            .arg("bash")
            .arg(lab_program())
            .args(["without", "ipv6"])
            .arg(program);
        command
    }

    /// A program on the host that cannot make sockets of this kind: `ipv6` or `netlink`, as under systemd's
    /// `RestrictAddressFamilies=`, or `nf-tables`, as on a kernel without it.
    pub fn without(&self, what: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(lab_program());
        command.args(["without", what]).arg(program);
        command
    }

    /// Runs a program of the host, found by `PATH`, to its end. The first word is its name.
    ///
    /// # Panics
    /// When there is no word, and as [`Done::of`] does.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Done {
        let (program, arguments) = words.split_first().expect("a program");
        Done::of(self.command(program).args(arguments))
    }

    /// Runs a `bash` script on the host, which stops at the first command that fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Done {
        self.run(&["bash", "-euc", script])
    }

    /// What the program under test is told of this host, before all other arguments.
    pub fn options(&self) -> &[String] {
        &self.options
    }

    /// Whether the host has no iptables.
    pub fn is_without_iptables(&self) -> bool {
        !self.options.iter().any(|option| option == "--variant")
    }

    /// Runs the program under test on the host: `ip-lockdown --variant <variant> <arguments>`, or what else
    /// it is told of this host.
    #[track_caller]
    pub fn lockdown(&self, arguments: &[&str]) -> Done {
        Done::of(self.program().args(arguments))
    }

    /// The program under test on the host, ready for its arguments, with what else it is told of this host.
    pub fn program(&self) -> Command {
        let mut command = match self.lacks {
            None => self.command(lockdown_program()),
            Some(what) => self.without(what, lockdown_program()),
        };
        command.args(&self.options);
        command
    }

    /// The program under test on the host, told of this variant of iptables (or `auto`) and nothing else.
    pub fn lockdown_command(&self, variant: impl fmt::Display, arguments: &[&str]) -> Command {
        let mut command = self.command(lockdown_program());
        command.arg(format!("--variant={variant}")).args(arguments);
        command
    }

    /// Runs [`Lab::lockdown_command`] to its end.
    #[track_caller]
    pub fn lockdown_as(&self, variant: impl fmt::Display, arguments: &[&str]) -> Done {
        Done::of(&mut self.lockdown_command(variant, arguments))
    }

    /// Runs `iptables-<variant>` or `ip6tables-<variant>` on the host, with arguments separated by blanks.
    #[track_caller]
    pub fn iptables(&self, family: Family, arguments: &str) -> Done {
        Done::of(
            self.command(self.iptables_program(family, ""))
                .args(arguments.split_whitespace()),
        )
    }

    /// The rules of that variant and family, with counters, as `iptables-save -c` prints them.
    ///
    /// # Panics
    /// When they cannot be read.
    #[track_caller]
    pub fn save(&self, family: Family) -> String {
        Done::of(
            self.command(self.iptables_program(family, "-save"))
                .arg("-c"),
        )
        .expect_code(0)
        .stdout
    }

    /// Runs the `lab` program on the host.
    #[track_caller]
    pub fn tool(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(lab_program()).args(arguments))
    }

    /// Runs the `lab` program in the container.
    #[track_caller]
    pub fn container_tool(&self, arguments: &[&str]) -> Done {
        Done::of(self.in_container(lab_program()).args(arguments))
    }

    /// Tries once to reach port 80 of `to` from the host.
    #[track_caller]
    pub fn attempt(&self, who: &User, how: How, to: IpAddr) -> Outcome {
        attempt(self.command(lab_program()), who, how, to)
    }

    /// Tries once to reach port 80 of `to` from the container.
    #[track_caller]
    pub fn container_attempt(&self, who: &User, how: How, to: IpAddr) -> Outcome {
        attempt(self.in_container(lab_program()), who, how, to)
    }

    /// Fetches the role's credentials from `from` with curl, on the host: a token first, as `IMDSv2` wants it.
    /// The exit code is curl's: 7 is a failure to connect, 28 a time-out.
    #[track_caller]
    pub fn curl(&self, who: &User, from: IpAddr) -> Done {
        curl(self.command("setpriv"), who, from)
    }

    /// The same in the container.
    #[track_caller]
    pub fn container_curl(&self, who: &User, from: IpAddr) -> Done {
        curl(self.in_container("setpriv"), who, from)
    }

    /// Sends `count` HTTP requests from the host to `to`, one connection each and one after another.
    #[track_caller]
    pub fn requests(&self, who: &User, to: IpAddr, count: u32) -> Served {
        let mut command = self.command(lab_program());
        command.arg("requests").args(who.lab_options());
        command
            .arg(format!("--addr={to}"))
            .arg(format!("--count={count}"));
        Done::of(&mut command).expect_code(0).json()
    }

    /// Does one thing again and again for so many seconds, on the host: `fresh` or `kept` HTTP requests, `refused`
    /// connects, a `datagram` or a `stream`.
    #[track_caller]
    pub fn pace(&self, who: &User, what: &str, to: SocketAddr, seconds: f64) -> Pace {
        let mut command = self.command(lab_program());
        command
            .args(["pace", "--what", what])
            .args(who.lab_options());
        command
            .arg(format!("--addr={}", to.ip()))
            .arg(format!("--port={}", to.port()))
            .arg(format!("--seconds={seconds}"));
        Done::of(&mut command).expect_code(0).json()
    }

    /// Runs a program on the host and tells how much memory it took.
    #[track_caller]
    pub fn peak(&self, words: &[&str]) -> Peak {
        let mut command = self.command(lab_program());
        Done::of(command.arg("peak").args(words))
            .expect_code(0)
            .json()
    }

    /// Writes what the kernel lists of nf_tables on the host into the file.
    #[track_caller]
    pub fn dump(&self, file: &Path) {
        let mut command = self.command(lab_program());
        Done::of(command.arg("dump").arg(file)).expect_code(0);
    }

    /// Somebody who takes streams and datagrams where the metadata service runs, and throws them away.
    #[track_caller]
    pub fn sink(&self, at: &[SocketAddr]) -> Sink {
        let mut command = self.in_imds(lab_program());
        command.arg("sink");
        for address in at {
            command.arg("--listen").arg(address.to_string());
        }
        Sink::start(&mut command)
    }

    /// Somebody on the host who takes the packets of NFQUEUE 0, and holds them or, if `accept`, lets each go on.
    #[track_caller]
    pub fn queue(&self, accept: bool) -> Sink {
        let mut command = self.command(lab_program());
        command.arg("queue");
        if accept {
            command.arg("--accept");
        }
        Sink::start(&mut command)
    }

    /// Starts to try the addresses without a pause, by TCP and by UDP, from the host. Returns when each was
    /// tried once. It ends by itself after a minute.
    #[track_caller]
    pub fn hammer(&self, who: &User, addresses: &[IpAddr]) -> Hammer {
        hammer(self.command(lab_program()), who, addresses)
    }

    /// Hammers from the container, otherwise as [`Lab::hammer`].
    #[track_caller]
    pub fn container_hammer(&self, who: &User, addresses: &[IpAddr]) -> Hammer {
        hammer(self.in_container(lab_program()), who, addresses)
    }

    /// Hammers while `work` is done, and tells what came of it.
    #[track_caller]
    pub fn hammer_while(&self, who: &User, addresses: &[IpAddr], work: impl FnOnce()) -> Counts {
        let hammer = self.hammer(who, addresses);
        work();
        hammer.stop()
    }

    /// Opens a TCP connection from the host to port 80 of `to`, to be used later.
    #[track_caller]
    pub fn hold(&self, who: &User, to: IpAddr) -> Hold {
        let mut command = self.command(lab_program());
        Hold::open(
            command
                .arg("hold")
                .args(who.lab_options())
                .arg(format!("--addr={to}")),
        )
    }

    /// The connections that the metadata service could not close, because the client's last packets did not
    /// arrive. Those that are only just closing get half a second for it.
    #[track_caller]
    pub fn server_half_closed(&self) -> usize {
        let deadline = Instant::now() + Duration::from_millis(500);
        loop {
            let sockets = Done::of(self.in_imds("ss").arg("-tanH"))
                .expect_code(0)
                .stdout;
            let at_rest = ["ESTAB", "LISTEN", "TIME-WAIT"];
            let is_at_rest = |socket: &str| at_rest.iter().any(|state| socket.starts_with(state));
            let half_closed = sockets.lines().filter(|socket| !is_at_rest(socket)).count();
            if half_closed == 0 || Instant::now() > deadline {
                return half_closed;
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Puts an executable script in the place of the file or link at `path`, below `/usr`, `/etc` or `/var`.
    /// Other names of the same program are not affected: a script in the place of `iptables-nft-restore` can
    /// still end in `exec xtables-nft-multi iptables-nft-restore "$@"`.
    #[track_caller]
    pub fn stub(&self, path: &str, script: &str) {
        self.hide(path);
        self.run(&[
            "bash",
            "-euc",
            r#"printf %s "$2" > "$1"; chmod 755 "$1""#,
            "stub",
            path,
            script,
        ])
        .expect_code(0);
    }

    /// Takes the file or directory at `path`, below `/usr`, `/etc` or `/var`, away.
    #[track_caller]
    pub fn hide(&self, path: &str) {
        // Through symbolic links of directories, such as /sbin.
        let script = r#"
            place=$(realpath "$(dirname "$1")")
            case $place/ in /usr/* | /etc/* | /var/*) ;; *) echo "$place is not the lab's own"; exit 1 ;; esac
            rm -rf -- "$1""#;
        self.run(&["bash", "-euc", script, "hide", path])
            .expect_code(0);
    }

    fn iptables_program(&self, family: Family, suffix: &str) -> String {
        let name = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        format!("{name}-{}{suffix}", self.variant)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Until none is left, since one of them may just have started another; but not for ever.
        for _ in 0..1000 {
            let processes = inhabitants([&self.host, &self.imds, &self.container], &self.host);
            if processes.is_empty() {
                break;
            }
            for process in processes {
                let _ = kill(process, Signal::SIGKILL);
            }
            sleep(Duration::from_millis(1));
        }
        let _ = self.server.wait();
    }
}

fn attempt(mut lab: Command, who: &User, how: How, to: IpAddr) -> Outcome {
    lab.arg("try").args(who.lab_options());
    lab.arg(format!("--how={how}")).arg(format!("--addr={to}"));
    Done::of(&mut lab).expect_code(0).json()
}

#[track_caller]
fn hammer(mut lab: Command, who: &User, addresses: &[IpAddr]) -> Hammer {
    lab.args(["hammer", "--seconds-max=60"])
        .args(who.lab_options());
    lab.args(addresses.iter().map(|address| format!("--addr={address}")));
    Hammer::start(&mut lab)
}

fn curl(mut setpriv: Command, who: &User, from: IpAddr) -> Done {
    let script = r#"
        fetch() { curl --silent --show-error --fail --max-time 5 "$@"; }
        token=$(fetch -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "http://$1/latest/api/token")
        fetch -H "X-aws-ec2-metadata-token: $token" "http://$1/latest/meta-data/iam/security-credentials/demo-role"
    "#;
    let host = SocketAddr::new(from, 80).to_string();
    Done::of(
        setpriv
            .args(who.setpriv_options())
            .args(["bash", "-euc", script, "fetch", &host]),
    )
}

/// Starts the fake metadata service.
#[track_caller]
fn serve(lab: &mut Command) -> Child {
    lab.arg("imds");
    for address in [IMDS_V4, IMDS_V6, DNS_V4, DNS_V6] {
        lab.arg("--listen")
            .arg(SocketAddr::new(address, 80).to_string());
    }
    // Its input is a pipe whose other end is here: it ends with the test process.
    let mut server = lab
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter starts");
    await_line("the metadata service", &mut server, "ready");
    server
}

/// Says in one line why no lab can be set up here.
#[track_caller]
fn check_machine() {
    assert!(
        geteuid().is_root(),
        "the lab needs root: it makes namespaces and installs firewall rules in them"
    );
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|program| {
            !PATH
                .split(':')
                .any(|place| Path::new(place).join(program).is_file())
        })
        .collect();
    assert!(
        missing.is_empty(),
        "the lab needs these programs, install them: {missing:?}"
    );
}

/// The fake service and the clients.
#[track_caller]
fn lab_program() -> PathBuf {
    built("lab")
}

/// Runs the program under test without a lab and without an environment: what needs neither root nor a firewall.
#[track_caller]
pub fn lockdown(arguments: &[&str]) -> Done {
    Done::of(Command::new(lockdown_program()).env_clear().args(arguments))
}

/// The program under test: that which `IP_LOCKDOWN_BIN` names, or that which was built with the test.
///
/// # Panics
/// When it has not been built.
#[track_caller]
pub fn lockdown_program() -> PathBuf {
    env::var_os("IP_LOCKDOWN_BIN").map_or_else(|| built("ip-lockdown"), PathBuf::from)
}

/// A program of this workspace: two levels up from the test, which is in `target/<profile>/deps`.
#[track_caller]
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of the running test");
    let program = test
        .ancestors()
        .nth(2)
        .expect("a test lies in target/<profile>/deps")
        .join(name);
    assert!(
        program.is_file(),
        "{} is missing; build it: cargo build --workspace --bins",
        program.display()
    );
    program
}
