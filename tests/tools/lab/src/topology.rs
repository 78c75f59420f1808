//! The three namespaces of a lab: their files, their accounts and how they are joined.

use crate::namespace::{Namespace, enter};
use crate::{DNS_V4, DNS_V6, Done, IMDS_V4, IMDS_V6, user};

/// The mounts and the accounts of the lab. `$PASSWD` and `$GROUP` are the lines to add.
const FILES: &str = r#"
mount -t tmpfs -o mode=755 lab /run
mkdir -m 1777 /run/lock
mkdir -p /run/lab/{etc,usr,var}/{upper,work}
for tree in etc usr var; do
  mount -t overlay -o "lowerdir=/$tree,upperdir=/run/lab/$tree/upper,workdir=/run/lab/$tree/work" lab "/$tree"
done
# The system's own accounts only: those of people may have the ids of the lab's.
for file in passwd group; do
  awk -F: '$3 < 1000 || $3 == 65534' "/etc/$file" > "/run/lab/$file"
done
printf %s "$PASSWD" >> /run/lab/passwd
printf %s "$GROUP" >> /run/lab/group
cat /run/lab/passwd > /etc/passwd
cat /run/lab/group > /etc/group
printf '%s: files\n' passwd group shadow hosts > /etc/nsswitch.conf
"#;

/// Makes the host, the metadata service's machine and the container.
#[track_caller]
pub(crate) fn set_up() -> [Namespace; 3] {
    let (passwd, group) = user::added_accounts();
    let files = format!("PASSWD='{passwd}'\nGROUP='{group}'\n{FILES}");
    let host = Namespace::start(&["--net", "--mount", "--propagation=private"], &files);
    let imds = Namespace::start(&["--net"], "");
    let container = Namespace::start(&["--net"], "");
    let mut all = [host, imds, container];
    for namespace in &mut all {
        namespace.ready();
    }
    connect(&all);
    all
}

/// Joins the three by veth pairs. The addresses in between are those that documentation may use.
#[track_caller]
fn connect([host, imds, container]: &[Namespace; 3]) {
    let configure = |namespace: &Namespace, lines: &str| {
        let script = r#"printf %s "$1" | ip -batch -"#;
        Done::of(
            enter(namespace, host, "bash").args(["-euo", "pipefail", "-c", script, "ip", lines]),
        )
        .expect_code(0);
    };
    configure(
        host,
        &format!(
            "link add to-imds type veth peer name to-host netns {}
             link add to-container type veth peer name to-host netns {}
             link set to-imds up
             link set to-container up
             addr add 192.0.2.1/30 dev to-imds
             addr add 2001:db8:1::1/64 dev to-imds nodad
             addr add 198.51.100.1/30 dev to-container
             addr add 2001:db8:2::1/64 dev to-container nodad
             route add default via 192.0.2.2
             route add default via 2001:db8:1::2
             ",
            imds.pid(),
            container.pid()
        ),
    );
    configure(
        imds,
        &format!(
            "link set to-host up
             addr add {IMDS_V4}/32 dev lo
             addr add {DNS_V4}/32 dev lo
             addr add {IMDS_V6}/128 dev lo nodad
             addr add {DNS_V6}/128 dev lo nodad
             addr add 192.0.2.2/30 dev to-host
             addr add 2001:db8:1::2/64 dev to-host nodad
             route add 198.51.100.0/30 via 192.0.2.1
             route add 2001:db8:2::/64 via 2001:db8:1::1
             "
        ),
    );
    configure(
        container,
        "link set to-host up
         addr add 198.51.100.2/30 dev to-host
         addr add 2001:db8:2::2/64 dev to-host nodad
         route add default via 198.51.100.1
         route add default via 2001:db8:2::1
         ",
    );
}
