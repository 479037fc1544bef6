//! Looking at the records of a segment without touching bodies: what sweeps, evictions and removals share.

use std::io;
use std::sync::atomic::Ordering;

use super::Store;
use super::footer::View;
use super::segment::{Keys, Segment};
use super::types::{RecordId, Scope, Visited};
use crate::entry::Mark;
use crate::purge::TagsRef;

impl Store {
    /// Shows every record of a segment that is in the scope and not dead, indexed or not. False if the segment is gone, or had to be dropped because its
    /// keys could not be read: nothing of it can be found any more, whatever was shown.
    ///
    /// A sealed segment without a match costs nothing; else O(log records + matches). An open one is read whole, from memory. `f` may call back,
    /// [`Store::set_mark`] too; it must not take the append lock.
    pub(crate) fn visit(&self, segment: u32, scope: Scope<'_>, f: &mut dyn FnMut(Visited<'_>)) -> bool {
        let Some(segment) = self.segment(segment) else { return false };
        let visited = each_key(&segment, scope, f);
        let intact = segment.is_intact();
        if visited.is_err() || !intact {
            self.fail(&segment);
            return false;
        }
        !segment.leaving.load(Ordering::Acquire)
    }
}

/// The records of a scope that are not dead. An error if the keys cannot be read.
pub(super) fn each_key(segment: &Segment, scope: Scope<'_>, f: &mut dyn FnMut(Visited<'_>)) -> io::Result<()> {
    let keys = segment.keys.read();
    let sealed = match &*keys {
        Keys::Open(open) => {
            // Copied out, so that `f` may take as long as it likes: records are appended under this lock.
            let matching: Vec<_> = (0_u32..)
                .zip(open)
                .filter(|(_, key)| is_in(scope, &key.key, &key.tags))
                .map(|(ordinal, key)| (ordinal, key.clone()))
                .collect();
            drop(keys);
            for (ordinal, key) in matching {
                let raised = segment.mark_of(ordinal).0.max(key.mark);
                let weight = segment.places.read().range(ordinal).map_or(0, |range| range.end - range.start);
                if raised != Mark::Dead {
                    let id = RecordId { segment: segment.id, ordinal };
                    let (vary, tags) = (&*key.vary, &*key.tags);
                    f(Visited { id, key: &key.key, vary, tags, seq: key.seq, weight });
                }
            }
            return Ok(());
        }
        Keys::Sealed(sealed) => sealed,
    };
    if !sealed.may_hold(scope) {
        return Ok(());
    }
    let trailer = sealed.trailer.clone();
    drop(keys);
    let bytes = segment.file.bytes(trailer.footer)?;
    let view = View::new(&bytes, trailer.count, trailer.tag_count).ok_or(io::ErrorKind::InvalidData)?;
    let dead = segment.dead_bits();
    view.visit(scope, &mut |ordinal, key| {
        if dead.contains(ordinal) || key.mark == Mark::Dead {
            return;
        }
        let raised = segment.mark_of(ordinal).0.max(key.mark);
        if raised != Mark::Dead {
            let id = RecordId { segment: segment.id, ordinal };
            let (vary, tags) = (key.vary, key.tags);
            f(Visited { id, key: key.key, vary, tags, seq: key.seq, weight: key.len });
        }
    });
    Ok(())
}

/// Whether a record with this key and these tags is in the scope.
pub(super) fn is_in(scope: Scope<'_>, key: &[u8], tags: &[u8]) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Under(prefix) => key.starts_with(prefix),
        Scope::Tag(tag) => TagsRef::from_stored(tags).contains(tag),
        Scope::Exact(url) => {
            key.strip_prefix(url).is_some_and(|variation| variation.is_empty() || variation.starts_with(b"@@"))
        }
    }
}
