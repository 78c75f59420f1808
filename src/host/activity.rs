//! Whether a unit is active, as systemd reports it.

/// The properties of a unit that [`Activity::parse`] reads.
pub const PROPERTIES: &str = "--property=ActiveState,Job";

/// What systemd does with a unit at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Whether the unit is active, or about to become active.
    pub active: bool,
    /// Whether systemd is still starting, reloading or stopping the unit, or is going to.
    pub pending: bool,
}

impl Activity {
    /// Reads what `systemctl show` prints for [`PROPERTIES`].
    #[must_use]
    pub fn parse(properties: &str) -> Self {
        let value = |key: &str| {
            let mut lines = properties.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let state = value("ActiveState").unwrap_or_default();
        // Without a job, systemctl omits the property or prints 0.
        let job = value("Job").is_some_and(|id| !matches!(id.trim(), "" | "0"));
        let changing = matches!(
            state,
            "activating" | "reloading" | "refreshing" | "deactivating"
        );
        Self {
            active: state != "deactivating" && (state == "active" || job || changing),
            pending: job || changing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_about_to_start_is_pending_and_counts_as_active() {
        let read = |text| {
            let activity = Activity::parse(text);
            (activity.active, activity.pending)
        };
        assert_eq!(read("ActiveState=active\n"), (true, false));
        assert_eq!(read("Job=0\nActiveState=inactive\n"), (false, false));
        assert_eq!(read("ActiveState=failed\n"), (false, false));
        assert_eq!(read("Job=7\nActiveState=inactive\n"), (true, true));
        assert_eq!(read("ActiveState=activating\nJob=7\n"), (true, true));
        assert_eq!(read("ActiveState=reloading\n"), (true, true));
        assert_eq!(read("ActiveState=deactivating\n"), (false, true));
        assert_eq!(read(""), (false, false));
    }
}
