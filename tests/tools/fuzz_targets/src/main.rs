//! Writes the seeds of a fuzz target into a directory, each under the hash of its content: `make fuzz`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (name, folder) = (args.next(), args.next().map(PathBuf::from));
    let target = fuzz_targets::ALL
        .iter()
        .find(|target| Some(target.name) == name.as_deref());
    let (Some(target), Some(folder)) = (target, folder) else {
        let names = fuzz_targets::ALL.map(|target| target.name).join(", ");
        let usage = format!("give a target and a folder; the targets are {names}");
        return Err(io::Error::other(usage));
    };
    std::fs::create_dir_all(&folder)?;
    for seed in target.seeds() {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        std::fs::write(folder.join(format!("seed-{:016x}", hasher.finish())), seed)?;
    }
    Ok(())
}
