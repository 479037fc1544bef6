//! Lines through a filter: read in blocks, tried on several threads, written in order.
//!
//! Memory is bounded by the blocks in flight, whatever the input: a line longer than a block can be is no key and is dropped as it comes. What
//! has been read is tried at once, so that whoever types or pipes slowly sees what there is.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

/// Bytes of a block, and of the longest line.
const BLOCK: usize = 1 << 20;

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) matched: u64,
    pub(super) bytes: u64,
}

/// Copies the lines of `input` that `matches` takes to `output`, as they came and in order; `output` is none where only their number counts.
/// `seen` is told of each block that is through.
///
/// # Errors
///
/// The first error of `input` or `output`.
pub(super) fn filter(
    mut input: impl Read,
    mut output: Option<impl Write + Send>,
    threads: usize,
    matches: impl Fn(&[u8]) -> bool + Sync,
    mut seen: impl FnMut(Tally) + Send,
) -> io::Result<Tally> {
    let keeps = output.is_some();
    if threads <= 1 {
        let mut all = Tally::default();
        blocks(&mut input, |block| {
            let (out, tally) = sift(&block, keeps, &matches);
            all.add(tally);
            seen(tally);
            write(&mut output, &out).map(|()| true)
        })?;
        return Ok(all);
    }
    // Twice the threads: while one block is tried, the next waits.
    let (to_try, tried_from) = mpsc::sync_channel::<(u64, Vec<u8>)>(threads);
    let (to_write, written_from) = mpsc::sync_channel::<(u64, Vec<u8>, Tally)>(threads);
    let tried_from = Mutex::new(tried_from);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let to_write = to_write.clone();
            let (tried_from, matches) = (&tried_from, &matches);
            scope.spawn(move || {
                loop {
                    let next = tried_from.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, block)) = next else { return };
                    let (out, tally) = sift(&block, keeps, matches);
                    if to_write.send((number, out, tally)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to_write);
        let stop = &stop;
        let reader = |input: &mut dyn Read| {
            let mut number = 0;
            let result = blocks(input, |block| {
                number += 1;
                Ok(to_try.send((number - 1, block)).is_ok() && !stop.load(Ordering::Relaxed))
            });
            drop(to_try);
            result
        };
        // The writer is the thread beside: input need not be `Send`.
        let writer = scope.spawn({
            let (output, seen) = (&mut output, &mut seen);
            move || {
                let mut all = Tally::default();
                let mut early: BTreeMap<u64, (Vec<u8>, Tally)> = BTreeMap::new();
                let mut due = 0;
                let mut result = Ok(());
                for (number, out, tally) in written_from {
                    early.insert(number, (out, tally));
                    while let Some((out, tally)) = early.remove(&due) {
                        due += 1;
                        all.add(tally);
                        seen(tally);
                        if result.is_ok() {
                            result = write(output, &out);
                            stop.store(result.is_err(), Ordering::Relaxed);
                        }
                    }
                }
                result.map(|()| all)
            }
        });
        let read = reader(&mut input);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        let all = written?;
        read.map(|()| all)
    })
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.matched += other.matched;
        self.bytes += other.bytes;
    }
}

fn write(output: &mut Option<impl Write>, out: &[u8]) -> io::Result<()> {
    match output {
        Some(output) if !out.is_empty() => output.write_all(out).and_then(|()| output.flush()),
        _ => Ok(()),
    }
}

/// The lines of a block that match, if they are wanted, and how many.
fn sift(block: &[u8], keeps: bool, matches: &impl Fn(&[u8]) -> bool) -> (Vec<u8>, Tally) {
    let mut out = Vec::new();
    let mut tally = Tally { bytes: block.len() as u64, ..Tally::default() };
    for line in block.split_inclusive(|&b| b == b'\n') {
        tally.lines += 1;
        let key = line.strip_suffix(b"\n").unwrap_or(line);
        if matches(key.strip_suffix(b"\r").unwrap_or(key)) {
            tally.matched += 1;
            if keeps {
                out.extend_from_slice(line);
            }
        }
    }
    (out, tally)
}

/// Hands out whole lines as they come, until there are no more or `f` says so.
fn blocks(input: &mut (impl Read + ?Sized), mut f: impl FnMut(Vec<u8>) -> io::Result<bool>) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    // Bytes of it that hold something: the beginning of a line.
    let mut held = 0;
    // Within a line that is too long.
    let mut dropping = false;
    loop {
        let read = loop {
            match input.read(buffer.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let filled = buffer.get(..held + read).unwrap_or_default();
        if read == 0 {
            return if filled.is_empty() || dropping { Ok(()) } else { f(filled.to_vec()).map(drop) };
        }
        let Some(end) = memchr::memrchr(b'\n', filled.get(held..).unwrap_or_default()).map(|at| held + at + 1) else {
            held += read;
            if held == BLOCK || dropping {
                dropping = true;
                held = 0;
            }
            continue;
        };
        let first =
            if std::mem::take(&mut dropping) { memchr::memchr(b'\n', filled).map_or(end, |at| at + 1) } else { 0 };
        let lines = filled.get(first..end).unwrap_or_default();
        if !lines.is_empty() && !f(lines.to_vec())? {
            return Ok(());
        }
        buffer.copy_within(end..held + read, 0);
        held = held + read - end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buf.len());
            let (now, later) = self.0.split_at(len);
            buf.get_mut(..len).expect("there is room").copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    fn run(text: &[u8], piece: usize, threads: usize) -> (Vec<u8>, Tally) {
        let mut out = Vec::new();
        let tally =
            filter(Drip(text, piece), Some(&mut out), threads, |key| key.ends_with(b"7"), |_| {}).expect("runs");
        (out, tally)
    }

    #[test]
    fn lines_come_in_order_however_they_are_cut() {
        let text: String = (0..20_000).map(|n| format!("key-{n}{}", if n % 3 == 0 { "\r\n" } else { "\n" })).collect();
        let text = text.trim_end_matches('\n').as_bytes();
        let wanted: Vec<u8> = text
            .split_inclusive(|&b| b == b'\n')
            .filter(|line| line.trim_ascii_end().ends_with(b"7"))
            .flatten()
            .copied()
            .collect();
        for threads in [1, 4] {
            for piece in [7, 1000, 1 << 20] {
                let (out, tally) = run(text, piece, threads);
                assert_eq!((tally.lines, tally.matched, tally.bytes), (20_000, 2_000, text.len() as u64));
                assert!(out == wanted, "{threads} threads, {piece} bytes at a time");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_and_nothing_else() {
        let text = [b"a7\n".as_slice(), &vec![b'x'; 3 * BLOCK], b"7\nb7\nc\nd7"].concat();
        for threads in [1, 3] {
            let (out, tally) = run(&text, 70_000, threads);
            assert_eq!(String::from_utf8_lossy(&out), "a7\nb7\nd7");
            assert_eq!(tally.matched, 3);
        }
        assert_eq!(run(b"", 10, 1).1, Tally::default());
    }
}
