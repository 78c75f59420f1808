//! The interfaces, routes and settings of this host that lead packets past our rules.

use crate::policy::{Address, Family};

/// What was read of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The interfaces.
    pub links: Vec<Link>,
    /// The interface, by index, through which packets to an address leave; none without a route.
    pub routes: Vec<(Address, u32)>,
    /// Settings of interfaces (sysctl): `net.FAMILY.conf.INTERFACE.NAME`.
    pub settings: Vec<Setting>,
    /// The families whose bridged packets br_netfilter sends through our rules on every bridge.
    pub bridged: Vec<Family>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The index of the bridge or bond that it belongs to.
    pub master: Option<u32>,
    /// Its kind, such as `bridge` or `veth`; `None` for a network card.
    pub kind: Option<String>,
    /// For a bridge, the families whose packets br_netfilter sends through our rules on this bridge.
    pub bridged: Vec<Family>,
}

/// A setting of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The family.
    pub family: Family,
    /// The interface, or `all`.
    pub interface: String,
    /// The name of the setting.
    pub name: &'static str,
    /// Whether it is on.
    pub on: bool,
}

/// The setting by which an interface forwards the packets that it receives.
pub const FORWARDING: &str = "forwarding";
/// The same, of one interface in IPv6 (Linux 6.17).
pub const FORCE_FORWARDING: &str = "force_forwarding";
/// The settings by which the sender of a packet chooses its next destination. Each is on where it is
/// on for the interface and for `all`.
pub const SOURCE_ROUTES: [(Family, &str); 3] = [
    (Family::V4, "accept_source_route"),
    (Family::V6, "seg6_enabled"),
    (Family::V6, "rpl_seg_enabled"),
];

/// The kinds of interfaces through which a bridge reaches the network outside of this host.
const UPLINKS: [&str; 5] = ["bond", "ipvlan", "macvlan", "team", "vlan"];

impl Network {
    /// Whether any interface forwards packets of the family.
    #[must_use]
    pub fn forwards(&self, family: Family) -> bool {
        self.settings.iter().any(|setting| {
            let forwards = [FORWARDING, FORCE_FORWARDING].contains(&setting.name);
            // In IPv4, `all` only sets all interfaces.
            let counts = family == Family::V6 || setting.interface != "all";
            setting.on && setting.family == family && forwards && counts
        })
    }

    /// The names of the settings by which this host forwards packets with a source route.
    #[must_use]
    pub fn source_routes(&self, family: Family) -> Vec<&'static str> {
        let is_on = |name: &str, all: bool| {
            self.settings.iter().any(|setting| {
                let of_all = setting.interface == "all";
                setting.on && setting.family == family && setting.name == name && of_all == all
            })
        };
        SOURCE_ROUTES
            .into_iter()
            .filter(|(of, name)| *of == family && is_on(name, true) && is_on(name, false))
            .map(|(_, name)| name)
            .filter(|_| self.forwards(family))
            .collect()
    }

    /// The bridges on which other machines or containers reach the address without the IP layer of
    /// this host, and so without our rules.
    #[must_use]
    pub fn open_bridges(&self, address: Address) -> Vec<&str> {
        let family = address.family();
        let bridges = self.links.iter().filter(|link| {
            link.kind.as_deref() == Some("bridge")
                && !self.bridged.contains(&family)
                && !link.bridged.contains(&family)
        });
        let open = bridges.filter(|bridge| {
            let ports = || {
                let links = self.links.iter();
                links.filter(|link| link.master == Some(bridge.index))
            };
            let is_uplink = |link: &Link| match &link.kind {
                None => true,
                Some(kind) => UPLINKS.contains(&&**kind),
            };
            let leads = self.routes.contains(&(address, bridge.index));
            ports().count() > 1 && (leads || ports().any(is_uplink))
        });
        open.map(|bridge| &*bridge.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, IMDS_V6};

    fn link(index: u32, master: u32, kind: &str) -> Link {
        Link {
            index,
            name: format!("link{index}"),
            master: (master > 0).then_some(master),
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
            bridged: Vec::new(),
        }
    }

    fn on(family: Family, interface: &str, name: &'static str) -> Setting {
        Setting {
            family,
            interface: interface.to_owned(),
            name,
            on: true,
        }
    }

    #[test]
    fn a_bridge_is_open_if_it_leads_to_the_address_and_has_other_ports() {
        let network = |links: &[Link]| Network {
            links: links.to_vec(),
            ..Network::default()
        };
        let uplink = [link(1, 0, "bridge"), link(2, 1, ""), link(3, 1, "tun")];
        assert_eq!(network(&uplink).open_bridges(IMDS_V4), ["link1"]);
        assert!(network(&uplink[..2]).open_bridges(IMDS_V4).is_empty());
        let inside = [link(1, 0, "bridge"), link(2, 1, "veth"), link(3, 1, "veth")];
        let mut inside = network(&inside);
        assert!(inside.open_bridges(IMDS_V4).is_empty());
        inside.routes = vec![(IMDS_V4, 1)];
        assert_eq!(inside.open_bridges(IMDS_V4), ["link1"]);
        assert!(inside.open_bridges(IMDS_V6).is_empty());
        let filtered = Network {
            bridged: vec![Family::V4],
            ..network(&uplink)
        };
        assert!(filtered.open_bridges(IMDS_V4).is_empty());
        assert_eq!(filtered.open_bridges(IMDS_V6), ["link1"]);
        let mut one = network(&uplink);
        one.links[0].bridged = vec![Family::V4];
        assert!(one.open_bridges(IMDS_V4).is_empty());
    }

    #[test]
    fn source_routes_need_both_settings_and_forwarding() {
        let route = "accept_source_route";
        let mut network = Network {
            settings: vec![
                on(Family::V4, "eth0", route),
                on(Family::V4, "all", FORWARDING),
            ],
            ..Network::default()
        };
        network.settings.push(on(Family::V4, "all", route));
        assert!(
            network.source_routes(Family::V4).is_empty(),
            "no forwarding"
        );
        network.settings.push(on(Family::V4, "eth1", FORWARDING));
        assert_eq!(network.source_routes(Family::V4), [route]);
        assert!(network.source_routes(Family::V6).is_empty());
        network.settings.remove(2);
        assert!(network.source_routes(Family::V4).is_empty(), "not for all");
    }
}
