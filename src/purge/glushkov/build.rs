//! From an expression to the masks of its automaton.
//!
//! Each part of the expression takes a run of positions and is entered at the place before the first, left at the place behind the last. Both
//! are shared with its neighbours, so that a sequence costs nothing. It follows that
//!
//! * nothing may lead out of a place behind a part: a loop ends with a position of its own, as does every alternative but the last;
//! * what leads out of the place before a part (past an option, to other alternatives) must not be reached by a loop inside that begins at
//!   the same place. Where one does, the part is `reentrant`, and a position is put before it.

use regex_syntax::hir::Hir;

use super::tree::{Kind, NO_SET, Set, Sets, Tree, contains, insert};
use super::{Automaton, Entry, Group, MAX_MEMORY, MAX_POSITIONS, MAX_WORK, Masks, Unfit, memory};

pub(super) fn build(hir: &Hir) -> Result<Automaton, Unfit> {
    let mut sets = Sets::default();
    let tree = sets.tree(hir)?;
    // The last place is a bit as well.
    let size = tree.size.saturating_add(1);
    let Some(places) = u32::try_from(size).ok().filter(|&places| places <= MAX_POSITIONS) else {
        return Err(Unfit::Positions(MAX_POSITIONS));
    };
    let words = places as usize / 64 + usize::from(places % 64 != 0);
    let (class, samples) = sets.classes();
    let fits = |bytes: usize| if bytes <= MAX_MEMORY { Ok(()) } else { Err(Unfit::Memory(MAX_MEMORY)) };
    fits(sets.sets.len().max(samples.len()) * words * size_of::<u64>())?;

    let mut plan = Plan::new(words);
    plan.emit(&tree);
    let accept = plan.at();
    debug_assert_eq!(accept + 1, places, "positions as counted");
    let (groups, entries, work) = plan.groups(accept)?;
    fits(memory(samples.len() * words, words, groups.len(), entries.len()))?;

    let forward = Edges::new(plan.edges(), accept);
    let backward = Edges::new(plan.edges().map(|(from, to)| (to, from)), accept);
    let mut walk = Walk::new(words);
    let step = |plan: &Plan, at: u32, more: &[&[u64]]| contains(&plan.skip, at) || more.iter().any(|s| contains(s, at));
    let first = walk.reach([0], &forward, |at| step(&plan, at, &[&plan.starts]).then_some(at + 1));
    let empty = walk.reach([0], &forward, |at| step(&plan, at, &[&plan.starts, &plan.ends]).then_some(at + 1));
    let last =
        walk.reach([accept], &backward, |at| at.checked_sub(1).filter(|&before| step(&plan, before, &[&plan.ends])));
    let sources = sources(&groups, &entries, words);
    let (begin, end) = (bits(&first, words), bits(&last, words));
    let get = |set: &[u64], word: usize| set.get(word).copied().unwrap_or_default();
    let masks = (0..words).map(|word| Masks {
        loops: get(&plan.loops, word),
        skip: get(&plan.skip, word),
        sources: get(&sources, word),
        first: get(&begin, word),
        last: get(&end, word),
    });

    Ok(Automaton {
        rows: plan.rows(&sets.sets, &samples, words).into(),
        class,
        masks: masks.collect(),
        groups: groups.into(),
        entries: entries.into(),
        accept: 1 << (accept % 64),
        empty: empty.contains(&accept),
        work,
    })
}

/// The sources of any group.
fn sources(groups: &[Group], entries: &[Entry], words: usize) -> Vec<u64> {
    let mut all = vec![0; words];
    let mut rest = entries.iter();
    for group in groups {
        for entry in rest.by_ref().take(group.sources as usize) {
            if let Some(word) = all.get_mut(entry.word as usize) {
                *word |= entry.mask;
            }
        }
        rest.by_ref().take(group.targets as usize).for_each(drop);
    }
    all
}

fn bits(places: &[u32], words: usize) -> Vec<u64> {
    let mut all = vec![0; words];
    places.iter().for_each(|&place| insert(&mut all, place));
    all
}

/// The expression written out.
struct Plan {
    /// The set of bytes of each position.
    sets: Vec<u16>,
    skip: Vec<u64>,
    loops: Vec<u64>,
    starts: Vec<u64>,
    ends: Vec<u64>,
    /// Many places to one: target and source.
    joins: Vec<(u32, u32)>,
    /// One place to many: source and target.
    forks: Vec<(u32, u32)>,
    /// From the end of a loop to its start.
    backs: Vec<(u32, u32)>,
}

impl Plan {
    fn new(words: usize) -> Self {
        let none = || vec![0; words];
        Self {
            sets: Vec::with_capacity(words * 64),
            skip: none(),
            loops: none(),
            starts: none(),
            ends: none(),
            joins: Vec::new(),
            forks: Vec::new(),
            backs: Vec::new(),
        }
    }

    /// The place behind what is written so far.
    fn at(&self) -> u32 {
        // At most MAX_POSITIONS.
        u32::try_from(self.sets.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, set: u16) -> u32 {
        let at = self.at();
        self.sets.push(set);
        at
    }

    /// A position that takes no byte and is passed without one.
    fn pass(&mut self) -> u32 {
        let at = self.push(NO_SET);
        insert(&mut self.skip, at);
        at
    }

    fn emit(&mut self, tree: &Tree) {
        match &tree.kind {
            Kind::Set(set) => {
                self.push(*set);
            }
            Kind::Start => {
                let at = self.push(NO_SET);
                insert(&mut self.starts, at);
            }
            Kind::End => {
                let at = self.push(NO_SET);
                insert(&mut self.ends, at);
            }
            Kind::All(parts) => parts.iter().for_each(|part| self.emit(part)),
            Kind::Any(parts) => self.any(parts),
            Kind::Repeat { sub, min, max } => {
                let copies = if max.is_none() { min.saturating_sub(1) } else { *min };
                (0..copies).for_each(|_| self.emit(sub));
                match max {
                    None => self.unlimited(sub, *min == 0),
                    Some(max) => self.options(sub, max.saturating_sub(*min)),
                }
            }
        }
    }

    fn any(&mut self, parts: &[Tree]) {
        let start = self.at();
        if parts.first().is_some_and(|part| part.reentrant) {
            self.pass();
        }
        let mut exits = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                exits.push(self.push(NO_SET));
                self.forks.push((start, self.at()));
            }
            self.emit(part);
        }
        let end = self.at();
        self.joins.extend(exits.into_iter().map(|exit| (end, exit)));
    }

    fn unlimited(&mut self, sub: &Tree, option: bool) {
        let before = self.at();
        if let Kind::Set(set) = sub.kind {
            self.push(set);
            insert(&mut self.loops, before);
            if option {
                insert(&mut self.skip, before);
            }
            return;
        }
        if option && sub.guarded() {
            self.pass();
        }
        let start = self.at();
        self.emit(sub);
        let end = self.pass();
        self.backs.push((end, start));
        if option {
            self.joins.push((self.at(), before));
        }
    }

    fn options(&mut self, sub: &Tree, copies: u32) {
        if let Kind::Set(set) = sub.kind {
            for _ in 0..copies {
                let at = self.push(set);
                insert(&mut self.skip, at);
            }
            return;
        }
        let mut starts = Vec::new();
        for _ in 0..copies {
            starts.push(self.at());
            if sub.guarded() {
                self.pass();
            }
            self.emit(sub);
        }
        // Without one copy none follows: each place before a copy leads behind them all.
        let end = self.at();
        self.joins.extend(starts.into_iter().map(|start| (end, start)));
    }

    /// What leads from a place to another without a byte, but for `skip`.
    fn edges(&self) -> impl Iterator<Item = (u32, u32)> {
        let joins = self.joins.iter().map(|&(target, source)| (source, target));
        joins.chain(self.forks.iter().copied()).chain(self.backs.iter().copied())
    }

    /// The groups in their order, their entries, and the work of a byte.
    fn groups(&mut self, accept: u32) -> Result<(Vec<Group>, Vec<Entry>, u32), Unfit> {
        self.joins.sort_unstable();
        self.joins.dedup();
        // A join of one place is a fork: forks of one place are one group.
        let mut joins = Vec::new();
        for join in self.joins.chunk_by(|a, b| a.0 == b.0) {
            match join {
                [(target, source)] => self.forks.push((*source, *target)),
                _ => joins.push(join),
            }
        }
        self.forks.sort_unstable();
        self.forks.dedup();
        let order = |slice: &[(u32, u32)], behind: bool| slice.first().map(|first| (first.0, behind));
        let mut all: Vec<(&[(u32, u32)], What)> = Vec::new();
        all.extend(joins.into_iter().map(|join| (join, What::Join)));
        all.extend(self.forks.chunk_by(|a, b| a.0 == b.0).map(|fork| (fork, What::Fork)));
        all.extend(self.backs.chunks(1).map(|back| (back, What::Back)));
        all.sort_by_key(|(slice, what)| order(slice, *what != What::Join));

        let edges = Edges::new(self.edges(), accept);
        let none = Edges::new(std::iter::empty(), accept);
        let words = self.skip.len();
        let mut walk = Walk::new(words);
        let skip = |at: u32| contains(&self.skip, at).then_some(at + 1);
        let (mut groups, mut entries) = (Vec::with_capacity(all.len()), Vec::new());
        let work = |entries: &Vec<Entry>| words.saturating_add(entries.len());
        for (slice, what) in all {
            let ends = || slice.iter().map(|pair| pair.1);
            let keys = || slice.iter().take(1).map(|pair| pair.0);
            let (mut sources, mut targets): (Vec<u32>, Vec<u32>) = match what {
                What::Join => (ends().collect(), walk.reach(keys(), &none, skip)),
                What::Fork => (keys().collect(), walk.reach(ends(), &none, skip)),
                What::Back => (keys().collect(), walk.reach(ends(), &edges, skip)),
            };
            let before = entries.len();
            append(&mut sources, &mut entries);
            let between = entries.len();
            append(&mut targets, &mut entries);
            let count = |from: usize, to: usize| u32::try_from(to - from).unwrap_or(u32::MAX);
            groups.push(Group { sources: count(before, between), targets: count(between, entries.len()) });
            if work(&entries) > MAX_WORK as usize {
                break;
            }
        }
        match u32::try_from(work(&entries)) {
            Ok(work) if work <= MAX_WORK => Ok((groups, entries, work)),
            _ => Err(Unfit::Work(MAX_WORK)),
        }
    }

    fn rows(&self, sets: &[Set], samples: &[u8], words: usize) -> Vec<u64> {
        let mut of_set = vec![0_u64; sets.len() * words];
        for (place, &set) in self.sets.iter().enumerate() {
            if set != NO_SET
                && let Some(word) = of_set.get_mut(usize::from(set) * words + place / 64)
            {
                *word |= 1 << (place % 64);
            }
        }
        let mut rows = vec![0_u64; samples.len() * words];
        for (row, &sample) in rows.chunks_exact_mut(words).zip(samples) {
            for (set, places) in sets.iter().zip(of_set.chunks_exact(words)) {
                if contains(set, u32::from(sample)) {
                    row.iter_mut().zip(places).for_each(|(row, places)| *row |= places);
                }
            }
        }
        rows
    }
}

/// Kinds of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Join,
    Fork,
    Back,
}

/// What leads from each place to others.
struct Edges {
    pairs: Vec<(u32, u32)>,
    /// For each place the first of its pairs.
    starts: Vec<u32>,
}

impl Edges {
    fn new(pairs: impl Iterator<Item = (u32, u32)>, last: u32) -> Self {
        let mut pairs: Vec<(u32, u32)> = pairs.collect();
        pairs.sort_unstable();
        let mut starts = Vec::with_capacity(last as usize + 2);
        let mut index = 0_u32;
        for place in 0..=last {
            starts.push(index);
            while pairs.get(index as usize).is_some_and(|pair| pair.0 == place) {
                index += 1;
            }
        }
        starts.push(index);
        Self { pairs, starts }
    }

    fn of(&self, place: u32) -> &[(u32, u32)] {
        let start = |place: u32| self.starts.get(place as usize).map_or(0, |&start| start as usize);
        self.pairs.get(start(place)..start(place + 1)).unwrap_or_default()
    }
}

/// Walks the places reached without a byte.
struct Walk {
    seen: Vec<u64>,
}

impl Walk {
    fn new(words: usize) -> Self {
        Self { seen: vec![0; words] }
    }

    fn reach(
        &mut self,
        from: impl IntoIterator<Item = u32>,
        edges: &Edges,
        step: impl Fn(u32) -> Option<u32>,
    ) -> Vec<u32> {
        let mut reached: Vec<u32> = Vec::new();
        let mut add = |place: u32, reached: &mut Vec<u32>| {
            if !contains(&self.seen, place) {
                insert(&mut self.seen, place);
                reached.push(place);
            }
        };
        from.into_iter().for_each(|place| add(place, &mut reached));
        let mut next = 0;
        while let Some(&place) = reached.get(next) {
            next += 1;
            if let Some(place) = step(place) {
                add(place, &mut reached);
            }
            edges.of(place).iter().for_each(|&(_, to)| add(to, &mut reached));
        }
        for &place in &reached {
            if let Some(word) = self.seen.get_mut(place as usize / 64) {
                *word = 0;
            }
        }
        reached
    }
}

/// Appends a set of places.
fn append(places: &mut [u32], entries: &mut Vec<Entry>) {
    places.sort_unstable();
    for chunk in places.chunk_by(|a, b| a / 64 == b / 64) {
        let word = chunk.first().map_or(0, |place| place / 64);
        let mask = chunk.iter().fold(0, |mask, place| mask | 1 << (place % 64));
        entries.push(Entry { word, mask });
    }
}
