//! What is in a file, and what of it a disk may hold.
//!
//! 1. `now` is what the running system reads.
//! 2. `base` with the durable pieces of `log` over it, in order, is on the disk whatever happens.
//! 3. In `log`, every pending piece comes after every other: a sync decides about all before it.

use super::random::Random;
use crate::disk::media::image::{extend, write};

/// How much a disk writes at once.
const SECTOR: usize = 512;

/// What is known of a change to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not synced yet.
    Pending,
    /// Its sync failed: it may be on the disk or not, and no later sync tells.
    Doubtful,
    /// On the disk.
    Durable,
}

/// A change to a file.
#[derive(Debug, Clone)]
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    /// The file is at least as long as this.
    len: u64,
}

impl Piece {
    fn apply(&self, image: &mut Vec<u8>) {
        // Memory that is full loses the piece, as a disk may.
        if extend(image, self.len).is_ok() {
            write(image, self.offset, &self.bytes).unwrap_or_default();
        }
    }

    /// The part of it before byte `cut` of its own.
    fn torn(&self, cut: usize) -> Self {
        let bytes = self.bytes.get(..cut).unwrap_or(&self.bytes).to_vec();
        let end = self.offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let len = if bytes.is_empty() { 0 } else { end.min(self.len) };
        Self { offset: self.offset, bytes, len }
    }

    /// It alone as sectors of the file.
    fn sectors(&self) -> Vec<Self> {
        let mut sectors = Vec::new();
        let mut offset = self.offset;
        let mut rest = self.bytes.as_slice();
        if rest.is_empty() {
            return vec![self.clone()];
        }
        while !rest.is_empty() {
            let within = usize::try_from(offset).unwrap_or(0) % SECTOR;
            let (bytes, later) = rest.split_at(SECTOR.saturating_sub(within).min(rest.len()));
            let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            sectors.push(Self { offset, bytes: bytes.to_vec(), len: end });
            offset = end;
            rest = later;
        }
        sectors
    }

    /// The length it gives the file, without its bytes.
    fn hollow(&self) -> Self {
        Self { offset: 0, bytes: Vec::new(), len: self.len }
    }
}

#[derive(Default, Clone)]
pub(super) struct Contents {
    pub(super) now: Vec<u8>,
    base: Vec<u8>,
    log: Vec<(Piece, Fate)>,
}

impl Contents {
    /// A file that is on the disk as it is.
    pub(super) fn settled(image: Vec<u8>) -> Self {
        Self { now: image.clone(), base: image, log: Vec::new() }
    }

    /// Makes the file at least `len` bytes long.
    pub(super) fn extend(&mut self, len: u64) -> std::io::Result<()> {
        extend(&mut self.now, len)?;
        self.log.push((Piece { offset: 0, bytes: Vec::new(), len }, Fate::Pending));
        Ok(())
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        write(&mut self.now, offset, bytes)?;
        if !bytes.is_empty() {
            let len = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            self.log.push((Piece { offset, bytes: bytes.to_vec(), len }, Fate::Pending));
        }
        Ok(())
    }

    /// Everything written since the last sync is on the disk from now on.
    pub(super) fn sync(&mut self) {
        self.decide(Fate::Durable);
        let decided = self.log.iter().position(|(_, fate)| *fate != Fate::Durable).unwrap_or(self.log.len());
        for (piece, _) in self.log.drain(..decided) {
            piece.apply(&mut self.base);
        }
    }

    /// Nothing is known of what was written since the last sync.
    pub(super) fn sync_failed(&mut self) {
        self.decide(Fate::Doubtful);
    }

    fn decide(&mut self, decided: Fate) {
        for (_, fate) in self.log.iter_mut().filter(|(_, fate)| *fate == Fate::Pending) {
            *fate = decided;
        }
    }

    /// Flips bits of one byte, wherever the disk may have it from.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) -> bool {
        let flip = |image: &mut [u8], at: Option<u64>| {
            let byte = at.and_then(|at| usize::try_from(at).ok()).and_then(|at| image.get_mut(at));
            byte.map(|byte| *byte ^= mask).is_some()
        };
        flip(&mut self.base, Some(offset));
        for (piece, _) in &mut self.log {
            flip(&mut piece.bytes, offset.checked_sub(piece.offset));
        }
        flip(&mut self.now, Some(offset))
    }

    /// Cuts the file at `len`, wherever the disk may have it from.
    pub(super) fn truncate(&mut self, len: u64) {
        let keep = usize::try_from(len).unwrap_or(usize::MAX);
        self.now.truncate(keep);
        self.base.truncate(keep);
        for (piece, _) in &mut self.log {
            let left = usize::try_from(len.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
            piece.bytes.truncate(left);
            piece.len = piece.len.min(len);
        }
        self.log.retain(|(piece, _)| piece.offset < len);
    }

    /// What a disk may hold after power was lost now.
    pub(super) fn survive(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.base.clone();
        let pending = self.log.iter().position(|(_, fate)| *fate == Fate::Pending).unwrap_or(self.log.len());
        let (decided, pending) = self.log.split_at(pending);
        for (piece, fate) in decided {
            if *fate == Fate::Durable {
                piece.apply(&mut image);
            } else {
                scatter(vec![piece.clone()], random).iter().for_each(|piece| piece.apply(&mut image));
            }
        }
        let pending = pending.iter().map(|(piece, _)| piece.clone()).collect();
        scatter(pending, random).iter().for_each(|piece| piece.apply(&mut image));
        image
    }
}

/// Those of `pieces` that reached the disk, in the order in which they did.
///
/// What is likely on a real disk is as likely here as what is merely allowed: nothing, all, the first few, or anything.
fn scatter(pieces: Vec<Piece>, random: &mut Random) -> Vec<Piece> {
    match random.below(5) {
        0 => Vec::new(),
        1 => pieces,
        2 => first_few(pieces, random),
        3 => {
            let mut kept = some(pieces, random);
            random.shuffle(&mut kept);
            kept
        }
        _ => {
            let last = pieces.len().saturating_sub(1);
            let mut sectors = Vec::new();
            for (at, piece) in pieces.into_iter().enumerate() {
                if at == last && random.chance(4) {
                    sectors.push(piece.torn(random.index(piece.bytes.len().saturating_add(1))));
                } else {
                    sectors.append(&mut piece.sectors());
                }
            }
            let mut kept = some(sectors, random);
            random.shuffle(&mut kept);
            kept
        }
    }
}

/// A prefix in time, the last write of it torn at any byte.
fn first_few(mut pieces: Vec<Piece>, random: &mut Random) -> Vec<Piece> {
    pieces.truncate(random.index(pieces.len().saturating_add(1)));
    if let Some(last) = pieces.last_mut() {
        *last = last.torn(random.index(last.bytes.len().saturating_add(1)));
    }
    pieces
}

/// Any subset; of a piece that is lost the file's length may have come through.
fn some(pieces: Vec<Piece>, random: &mut Random) -> Vec<Piece> {
    let odds = random.below(7).saturating_add(1);
    let mut kept = Vec::new();
    for piece in pieces {
        if random.chance(odds) {
            kept.push(piece);
        } else if random.chance(1) {
            kept.push(piece.hollow());
        }
    }
    kept
}
