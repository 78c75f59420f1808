//! The packet queues (NFQUEUE) of this network namespace, as `/proc/net/netfilter/nfnetlink_queue` lists
//! them (net/netfilter/nfnetlink_queue.c, `seq_show`).

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Outcome, ProbeResult};

/// How many packets each queue has got since its program bound to it. A queue without a program is not
/// listed: the kernel drops its packets, or lets them pass (`--queue-bypass`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queues(BTreeMap<u64, Queue>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// The netlink port of the program.
    program: u64,
    /// The number of the last packet.
    packets: u64,
}

/// A line of the list that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this line is not understood: {0}")]
pub struct QueueError(String);

impl Queues {
    /// Reads the list.
    ///
    /// # Errors
    /// A line has other fields.
    pub fn parse(text: &str) -> Result<Self, QueueError> {
        let queue = |line: &str| {
            // Number, port of the program, packets that wait, copy mode, copy range, two counts of
            // dropped packets, number of the last packet, 1.
            let numbers = line.split_whitespace().map(str::parse);
            match numbers.collect::<Result<Vec<u64>, _>>().as_deref() {
                Ok([number, program, _, _, _, _, _, last, ..]) => Ok((
                    *number,
                    Queue {
                        program: *program,
                        packets: *last,
                    },
                )),
                _ => Err(QueueError(line.escape_debug().to_string())),
            }
        };
        let queues = text.lines().map(queue);
        Ok(Self(queues.collect::<Result<_, _>>()?))
    }

    /// Whether a queue got packets between `earlier` and now. A queue that disappeared may have.
    #[must_use]
    pub fn got_packets_since(&self, earlier: &Self) -> bool {
        let changed = self
            .0
            .iter()
            .any(|(number, queue)| match earlier.0.get(number) {
                Some(before) if before.program == queue.program => before.packets != queue.packets,
                _ => queue.packets > 0,
            });
        changed || earlier.0.keys().any(|number| !self.0.contains_key(number))
    }
}

/// Corrects the outcomes of probes beside which queues got packets, or of which this is not known: what
/// a queue held looks like a datagram that was sent, or like a connect that was not answered.
pub fn beside_queues(results: &mut [ProbeResult], queued: &Result<bool, String>) {
    let outcome = match queued {
        Ok(false) => return,
        Ok(true) => Outcome::Held,
        Err(reason) => Outcome::NotMade(format!("cannot read the packet queues: {reason}")),
    };
    for result in results {
        if result.outcome.may_be_queued(result.transport) {
            result.outcome = outcome.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_got_packets_is_noticed() {
        let read = |text: &str| Queues::parse(text).unwrap();
        let none = read("");
        let before = read("    0  20573     0 2  4016     0     0        7  1\n");
        let waiting = read("    0  20573     1 2  4016     0     0        8  1\n");
        let quick = read("    0  20573     0 2  4016     0     0        9  1\n");
        let again = read("    0  20999     0 2  4016     0     0        7  1\n");
        let idle = read("    3  20573     0 2  4016     0     0        0  1\n");
        assert!(!none.got_packets_since(&none));
        assert!(!before.got_packets_since(&before));
        assert!(waiting.got_packets_since(&before));
        assert!(quick.got_packets_since(&before));
        assert!(again.got_packets_since(&before));
        assert!(none.got_packets_since(&before));
        assert!(!idle.got_packets_since(&none));
        assert!(Queues::parse("what is this\n").is_err());
    }
}
