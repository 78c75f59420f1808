//! A namespace without a name: it lives as long as the process that was started in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::unistd::Pid;

/// The whole environment of a program in the lab, with `LC_ALL=C`. The last folder is the lab's own.
pub(crate) const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/lab-put-aside";

/// The settings of every network namespace of the lab, written before its first interface exists.
const NETWORK: &str = r"
cd /proc/sys/net
for name in all default; do echo 0 > ipv6/conf/$name/disable_ipv6; done
# An address can be used at once, without waiting for duplicates to speak up.
for name in accept_dad dad_transmits; do echo 0 > ipv6/conf/default/$name; done
echo 1 > ipv4/ip_forward
echo 1 > ipv6/conf/all/forwarding
# Ping sockets for everybody, as on most distributions.
echo '0 2147483647' > ipv4/ping_group_range
# Fast open without a cookie on either side: data travels in the first SYN already.
echo $((0x1 | 0x2 | 0x4 | 0x200 | 0x400)) > ipv4/tcp_fastopen
cd /
ip link set lo up
";

/// A process in new namespaces of its own. It waits for the end of its input: when the test process goes, in
/// whatever way, the pipe closes and the namespaces vanish. (A parent-death signal would come too early: it is
/// sent when the *thread* that started the process ends.)
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
    input: Option<ChildStdin>,
}

impl Namespace {
    /// Starts a process in the new namespaces that `unshare` is told to make, which runs the `bash` script
    /// `setup` there. Does not wait for it; [`Namespace::ready`] does.
    pub(crate) fn start(unshare: &[&str], setup: &str) -> Self {
        let script = format!("{NETWORK}{setup}\necho ready\nexec cat > /dev/null");
        let mut holder = Command::new("unshare")
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .args(unshare)
            .args(["bash", "-euc", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        Self {
            input: holder.stdin.take(),
            holder,
        }
    }

    /// Waits until the set-up is through.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        await_line("the namespace", &mut self.holder, "ready");
    }

    /// The process that holds it.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may still be in its set-up, where it does not read.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A program in the network of one namespace and the files of another.
pub(crate) fn enter(network: &Namespace, files: &Namespace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .arg(format!("--net=/proc/{}/ns/net", network.pid()))
        .arg(format!("--mount=/proc/{}/ns/mnt", files.pid()))
        .arg("--")
        .arg(program);
    command
}

/// Every process in one of these networks, or with these files, whoever started it; not the holders.
pub(crate) fn inhabitants(networks: [&Namespace; 3], files: &Namespace) -> Vec<Pid> {
    // A holder that has died has none. It is our child and not yet waited for, so that its pid is not another's.
    let id =
        |pid: u32, kind: &str| Some(fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?.ino());
    let mut ours: Vec<_> = networks
        .iter()
        .filter_map(|network| id(network.pid(), "net"))
        .collect();
    ours.extend(id(files.pid(), "mnt"));
    let is_ours = |pid: u32| {
        ["net", "mnt"]
            .iter()
            .filter_map(|kind| id(pid, kind))
            .any(|id| ours.contains(&id))
    };

    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| networks.iter().all(|network| network.pid() != *pid) && is_ours(*pid))
        .filter_map(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw)
        .collect()
}

/// Waits for the first line of `child`, which is to be `expected`. Its output is left to the caller to read on.
#[track_caller]
pub(crate) fn await_line(what: &str, child: &mut Child, expected: &str) {
    // Unbuffered, so that nothing after the line is lost with the reader.
    let stdout = child.stdout.as_mut().expect("standard output is a pipe");
    let mut line = String::new();
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .expect("a pipe can be read");
    if line.trim_end() == expected {
        return;
    }
    let mut stderr = String::new();
    if let Some(pipe) = &mut child.stderr {
        let _ = pipe.read_to_string(&mut stderr);
    }
    panic!(
        "{what} of the lab did not come up, it said {line:?} and {:?}",
        stderr.trim_end()
    );
}
