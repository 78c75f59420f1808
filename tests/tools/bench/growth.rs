//! What one request costs as the list grows.

use std::net::SocketAddr;

use lab::{IMDS_V4, Lab, User, Variant};

use crate::packets::with_ports_to_spare;
use crate::page::Page;
use crate::series::AllSeries;

const ROUNDS: u32 = 9;
const MOMENT: f64 = 0.2;
const SIZES: [u32; 5] = [1, 10, 100, 1000, 10_000];

/// One who is last on the list, by the uid.
const LAST: User = User::NOBODY;

pub(crate) fn measure(page: &mut Page) {
    page.section(
        "As the list grows",
        "Microseconds, for lists of uids that are not adjacent. *Listed*: an HTTP request on a new connection, by the last \
         user of the list. *Refused*: a connect of a user who is not listed.",
    );
    page.head(&[
        "variant", "users", "listed", "/ 1 user", "refused", "/ 1 user",
    ]);
    for variant in Variant::ALL {
        let all = rounds(variant);
        for size in SIZES {
            let us = |what: &str| format!("{:.1}", all.of(&format!("{size} {what}")));
            let ratio = |what: &str| {
                format!(
                    "**{:.2}**",
                    all.ratio(&format!("{size} {what}"), &format!("1 {what}"))
                )
            };
            page.row(&[
                variant.to_string(),
                size.to_string(),
                us("listed"),
                ratio("listed"),
                us("refused"),
                ratio("refused"),
            ]);
        }
    }
}

fn rounds(variant: Variant) -> AllSeries {
    let imds = SocketAddr::new(IMDS_V4, 80);
    // One host each: to change ten thousand rules takes longer than to measure.
    let labs = SIZES.map(|size| {
        let lab = Lab::new(variant);
        with_ports_to_spare(&lab);
        // Lower uids than the last one's, of which the unlisted user has none.
        let others = (0..size - 1).map(|nth| nth * 2 + 2000);
        let users: Vec<String> = others
            .chain([LAST.uid])
            .map(|uid| uid.to_string())
            .collect();
        let words: Vec<&str> = ["apply", "169.254.169.254"]
            .into_iter()
            .chain(users.iter().map(String::as_str))
            .collect();
        lab.lockdown(&words).expect_code(0);
        lab
    });
    let mut all = AllSeries::default();
    for _ in 0..ROUNDS {
        for (size, lab) in SIZES.iter().zip(&labs) {
            let listed = lab.pace(&LAST, "fresh", imds, MOMENT);
            all.add(&format!("{size} listed"), listed.median_us);
            let refused = lab.pace(&User::MALLORY, "refused", imds, MOMENT);
            all.add(&format!("{size} refused"), refused.median_us);
        }
    }
    all
}
