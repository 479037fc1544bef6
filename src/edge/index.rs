//! The directory tree over the keys of the memory tier: what sweeps, `explain` and listings ask for candidates.
//!
//! A node per directory with its children and objects, so that a directory rule costs its matches, not the cache's size; postings per tag
//! beside it. Lookups never depend on it. The tree is split in stripes by host, each under a lock of its own.
//!
//! Invariants, recomputed by [`Index::validate`]:
//!
//! 1. A node holds an object or a child, or it is gone; its parent is the node of the directory above.
//! 2. A handle is in its node's object list at its position, and in the postings of each of its tags.
//! 3. An object is in the index before its table holds it, and leaves the index after the table (both under its shard's lock).
//!
//! A walk takes the lock for one chunk at a time and goes through every list from its end, so that what leaves meanwhile (the last element
//! takes its place) hides nothing that was there when the walk began; what comes meanwhile is newer than the rules that are swept.
//!
//! Lock order: shard, then stripe; a walk holds no other lock.

use std::collections::HashMap;
use std::hash::RandomState;

use hashbrown::HashTable;

use crate::key::{KeyRef, root_len};
use crate::purge::TagsRef;
use crate::sync::Mutex;

const STRIPES: usize = 16;
const NONE: u32 = u32::MAX;
/// Objects or nodes visited while a stripe's lock is held.
const CHUNK: usize = 256;

/// Where an object is: shard and slot, packed by the edge tier.
pub(crate) type Place = u32;

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    stripes: Box<[Mutex<Stripe>]>,
}

#[derive(Debug, Default)]
struct Stripe {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    /// Node by its directory text.
    by_dir: HashTable<u32>,
    /// Hosts: nodes of path `/`.
    roots: Vec<u32>,
    objects: Vec<Object>,
    free_objects: Vec<u32>,
    tags: HashMap<Box<[u8]>, Posting>,
    /// Bytes of texts, lists and postings, kept as they change.
    heap: u64,
}

#[derive(Debug, Default)]
struct Node {
    dir: Box<[u8]>,
    hash: u64,
    parent: u32,
    /// Position among the parent's children, or among the roots.
    position: u32,
    children: Vec<u32>,
    objects: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Object {
    place: Place,
    node: u32,
    position: u32,
}

/// What a walk visits.
#[derive(Debug, Clone)]
pub(crate) enum Scope<'a> {
    /// Objects whose directory is `dir` (`scheme://host/.../`), or is below it.
    Directory { dir: &'a [u8], recursive: bool },
    /// Objects of every host that passes the test, which is asked once for each host's root.
    Hosts,
    /// Objects with a tag.
    Tag(&'a [u8]),
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect() }
    }

    /// Bytes of the whole index.
    pub(crate) fn bytes(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.lock().bytes()).sum()
    }

    fn stripe(&self, root: &[u8]) -> usize {
        crate::key::hash(root) as usize % STRIPES
    }

    /// Adds an object; its handle. O(depth), of the deepest directory only when that exists.
    pub(crate) fn insert(&self, key: KeyRef<'_>, tags: TagsRef<'_>, place: Place) -> (u32, i64) {
        let mut stripe = self.stripes[self.stripe(root_of(key))].lock();
        let before = stripe.bytes();
        let node = stripe.node_of(directory_of(key));
        let position = stripe.nodes[node as usize].objects.len() as u32;
        let object = Object { place, node, position };
        let handle = match stripe.free_objects.pop() {
            Some(handle) => {
                stripe.objects[handle as usize] = object;
                handle
            }
            None => {
                stripe.objects.push(object);
                (stripe.objects.len() - 1) as u32
            }
        };
        stripe.grow(node, |node| node.objects.push(handle));
        for tag in tags.iter() {
            stripe.add_tag(tag, handle);
        }
        (handle, stripe.bytes() as i64 - before as i64)
    }

    /// Removes the object `handle`, which was inserted with this key and these tags; by how much the index grew.
    pub(crate) fn remove(&self, key: KeyRef<'_>, tags: TagsRef<'_>, handle: u32) -> i64 {
        let mut stripe = self.stripes[self.stripe(root_of(key))].lock();
        let before = stripe.bytes();
        for tag in tags.iter() {
            stripe.drop_tag(tag, handle);
        }
        let Object { node, position, .. } = stripe.objects[handle as usize];
        stripe.free_objects.push(handle);
        let list = &mut stripe.nodes[node as usize].objects;
        list.swap_remove(position as usize);
        if let Some(&moved) = list.get(position as usize) {
            stripe.objects[moved as usize].position = position;
        }
        stripe.shrink(node);
        stripe.prune(node);
        stripe.bytes() as i64 - before as i64
    }

    /// Starts a walk.
    pub(crate) fn walk<'a>(&'a self, scope: Scope<'a>) -> Walk<'a> {
        let (first, last) = match &scope {
            Scope::Directory { dir, .. } => {
                let stripe = self.stripe(&dir[..root_len(dir)]);
                (stripe, stripe + 1)
            }
            Scope::Hosts | Scope::Tag(_) => (0, STRIPES),
        };
        Walk {
            index: self,
            scope,
            stripe: first,
            last,
            started: false,
            stack: Vec::new(),
            hosts: Vec::new(),
            tagged: 0,
        }
    }

    /// Recomputes invariants 1 and 2; the number of objects.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn validate(&self) -> Result<usize, String> {
        let mut objects = 0;
        for stripe in &self.stripes {
            let stripe = stripe.lock();
            let mut live = 0;
            for (id, node) in stripe.nodes.iter().enumerate().filter(|(_, node)| !node.dir.is_empty()) {
                if node.objects.is_empty() && node.children.is_empty() {
                    return Err(format!("node {:?} is empty", String::from_utf8_lossy(&node.dir)));
                }
                for (position, &handle) in node.objects.iter().enumerate() {
                    let object = stripe.objects[handle as usize];
                    if object.node as usize != id || object.position as usize != position {
                        return Err(format!("handle {handle} does not know its place"));
                    }
                }
                for (position, &child) in node.children.iter().enumerate() {
                    let child = &stripe.nodes[child as usize];
                    if child.parent as usize != id
                        || child.position as usize != position
                        || parent_len(&child.dir) != node.dir.len()
                    {
                        return Err(format!("child {:?} does not know its place", String::from_utf8_lossy(&child.dir)));
                    }
                }
                live += 1;
                objects += node.objects.len();
            }
            if live != stripe.by_dir.len() {
                return Err(format!("{live} nodes, {} in the map", stripe.by_dir.len()));
            }
            let heap: u64 = stripe.nodes.iter().map(Node::heap).sum();
            let tags: u64 = stripe.tags.iter().map(|(tag, posting)| posting_bytes(tag, posting)).sum();
            if heap + tags != stripe.heap {
                return Err(format!("heap says {}, is {}", stripe.heap, heap + tags));
            }
        }
        Ok(objects)
    }
}

impl Node {
    fn heap(&self) -> u64 {
        ((self.children.capacity() + self.objects.capacity()) * size_of::<u32>() + self.dir.len()) as u64
    }
}

/// Handles of the objects with a tag: a list that can be walked in chunks, and where in it each is.
#[derive(Debug, Default)]
struct Posting {
    handles: Vec<u32>,
    positions: hashbrown::HashMap<u32, u32, RandomState>,
}

impl Posting {
    fn insert(&mut self, handle: u32) {
        if self.positions.insert(handle, self.handles.len() as u32).is_none() {
            self.handles.push(handle);
        }
    }

    fn remove(&mut self, handle: u32) {
        let Some(position) = self.positions.remove(&handle) else { return };
        self.handles.swap_remove(position as usize);
        if let Some(&moved) = self.handles.get(position as usize) {
            self.positions.insert(moved, position);
        }
        if self.handles.capacity() > 8 * self.handles.len() {
            self.handles.shrink_to(2 * self.handles.len());
            self.positions.shrink_to(2 * self.handles.len());
        }
    }
}

fn posting_bytes(tag: &[u8], posting: &Posting) -> u64 {
    (tag.len() + posting.positions.allocation_size() + posting.handles.capacity() * size_of::<u32>() + 64) as u64
}

impl Stripe {
    fn bytes(&self) -> u64 {
        (self.nodes.capacity() * size_of::<Node>()
            + self.objects.capacity() * size_of::<Object>()
            + (self.free_nodes.capacity() + self.free_objects.capacity() + self.roots.capacity()) * size_of::<u32>()
            + self.by_dir.allocation_size()) as u64
            + self.heap
    }

    /// Changes a node's lists and keeps `heap` true.
    fn grow(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        let node = &mut self.nodes[node as usize];
        let before = node.heap();
        change(node);
        self.heap = self.heap + node.heap() - before;
    }

    /// Gives back the room of a list that became much too long.
    fn shrink(&mut self, node: u32) {
        self.grow(node, |node| {
            if node.objects.capacity() > 4 * node.objects.len() {
                node.objects.shrink_to(2 * node.objects.len());
            }
            if node.children.capacity() > 4 * node.children.len() {
                node.children.shrink_to(2 * node.children.len());
            }
        });
    }

    fn find(&self, dir: &[u8]) -> Option<u32> {
        let hash = crate::key::hash(dir);
        self.by_dir
            .find(hash, |&id| {
                let node = &self.nodes[id as usize];
                node.hash == hash && *node.dir == *dir
            })
            .copied()
    }

    /// The node of `dir`, made with all that are missing above it.
    fn node_of(&mut self, dir: &[u8]) -> u32 {
        let mut below: Option<u32> = None;
        let mut deepest = None;
        let mut dir = dir;
        loop {
            let known = self.find(dir);
            let id = known.unwrap_or_else(|| self.new_node(dir));
            deepest.get_or_insert(id);
            if let Some(child) = below {
                let position = self.nodes[id as usize].children.len() as u32;
                self.grow(id, |node| node.children.push(child));
                let child = &mut self.nodes[child as usize];
                (child.parent, child.position) = (id, position);
            }
            if known.is_some() {
                break;
            }
            let up = parent_len(dir);
            if up == 0 {
                let position = self.roots.len() as u32;
                self.roots.push(id);
                let root = &mut self.nodes[id as usize];
                (root.parent, root.position) = (NONE, position);
                break;
            }
            below = Some(id);
            dir = &dir[..up];
        }
        deepest.unwrap_or(NONE)
    }

    fn new_node(&mut self, dir: &[u8]) -> u32 {
        let hash = crate::key::hash(dir);
        let node = Node { dir: dir.into(), hash, parent: NONE, ..Node::default() };
        self.heap += node.heap();
        let id = match self.free_nodes.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        let nodes = &self.nodes;
        self.by_dir.insert_unique(hash, id, |&id| nodes[id as usize].hash);
        id
    }

    /// Removes `node` if it is empty, then its parent if that became empty, and so on.
    fn prune(&mut self, mut node: u32) {
        while node != NONE {
            let this = &self.nodes[node as usize];
            if !this.objects.is_empty() || !this.children.is_empty() {
                return;
            }
            let (parent, position, hash) = (this.parent, this.position as usize, this.hash);
            self.heap -= this.heap();
            self.nodes[node as usize] = Node::default();
            if let Ok(found) = self.by_dir.find_entry(hash, |&id| id == node) {
                found.remove();
            }
            self.free_nodes.push(node);
            let list = if parent == NONE { &mut self.roots } else { &mut self.nodes[parent as usize].children };
            list.swap_remove(position);
            if let Some(&moved) = list.get(position) {
                self.nodes[moved as usize].position = position as u32;
            }
            if parent != NONE {
                self.shrink(parent);
            }
            node = parent;
        }
    }

    fn add_tag(&mut self, tag: &[u8], handle: u32) {
        let posting = match self.tags.get_mut(tag) {
            Some(posting) => {
                self.heap -= posting_bytes(tag, posting);
                posting
            }
            None => self.tags.entry(tag.into()).or_default(),
        };
        posting.insert(handle);
        self.heap += posting_bytes(tag, posting);
    }

    fn drop_tag(&mut self, tag: &[u8], handle: u32) {
        let Some(posting) = self.tags.get_mut(tag) else { return };
        self.heap -= posting_bytes(tag, posting);
        posting.remove(handle);
        if posting.handles.is_empty() {
            self.tags.remove(tag);
        } else {
            self.heap += posting_bytes(tag, posting);
        }
    }
}

/// A walk over candidates, a chunk at a time.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    index: &'a Index,
    scope: Scope<'a>,
    stripe: usize,
    last: usize,
    started: bool,
    /// Nodes to visit, each with how much of its lists is still to be seen.
    stack: Vec<Visit>,
    /// Hosts of the current stripe still to be seen.
    hosts: Vec<u32>,
    /// How much of the tag's posting in the current stripe is still to be seen.
    tagged: usize,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    node: u32,
    objects: usize,
    children: usize,
}

impl Visit {
    fn all(node: u32) -> Self {
        Self { node, objects: usize::MAX, children: usize::MAX }
    }
}

impl Walk<'_> {
    /// Appends the next places to `out`; whether there may be more. `enter` is asked with each directory (`scheme://host[:port]/.../`) on the
    /// way, roots of hosts included but not the directory of the scope, and says whether to go there. The stripe's lock is held for one
    /// chunk only.
    pub(crate) fn next_chunk(&mut self, out: &mut Vec<Place>, mut enter: impl FnMut(&[u8]) -> bool) -> bool {
        if self.stripe < self.last {
            let stripe = self.index.stripes[self.stripe].lock();
            if !self.started {
                self.started = true;
                match &self.scope {
                    Scope::Directory { dir, .. } => self.stack.extend(stripe.find(dir).map(Visit::all)),
                    Scope::Hosts => self.hosts.clone_from(&stripe.roots),
                    Scope::Tag(_) => self.tagged = usize::MAX,
                }
            }
            let mut left = CHUNK;
            while left > 0 {
                if let Some(visit) = self.stack.last_mut() {
                    let Some(node) = stripe.nodes.get(visit.node as usize) else {
                        self.stack.pop();
                        continue;
                    };
                    visit.objects = visit.objects.min(node.objects.len());
                    visit.children = visit.children.min(node.children.len());
                    if visit.objects > 0 {
                        let take = visit.objects.min(left);
                        let from = visit.objects - take;
                        out.extend(node.objects[from..visit.objects].iter().map(|&h| stripe.objects[h as usize].place));
                        visit.objects = from;
                        left -= take;
                    } else if visit.children > 0 && !matches!(self.scope, Scope::Directory { recursive: false, .. }) {
                        visit.children -= 1;
                        let child = node.children[visit.children];
                        left -= 1;
                        if stripe.nodes.get(child as usize).is_some_and(|node| enter(&node.dir)) {
                            self.stack.push(Visit::all(child));
                        }
                    } else {
                        self.stack.pop();
                    }
                } else if self.tagged > 0
                    && let Scope::Tag(tag) = self.scope
                {
                    let handles = stripe.tags.get(tag).map_or(&[][..], |posting| &posting.handles);
                    let end = self.tagged.min(handles.len());
                    let from = end.saturating_sub(left);
                    out.extend(handles[from..end].iter().map(|&handle| stripe.objects[handle as usize].place));
                    self.tagged = from;
                    left -= end - from;
                } else if let Some(next) = self.hosts.pop() {
                    left -= 1;
                    if stripe.nodes.get(next as usize).is_some_and(|root| !root.dir.is_empty() && enter(&root.dir)) {
                        self.stack.push(Visit::all(next));
                    }
                } else {
                    drop(stripe);
                    self.stripe += 1;
                    self.started = false;
                    return self.stripe < self.last;
                }
            }
            return true;
        }
        false
    }
}

/// Length of the directory above `dir`; 0 for a host's root.
fn parent_len(dir: &[u8]) -> usize {
    let root = root_len(dir);
    if dir.len() <= root {
        return 0;
    }
    memchr::memrchr(b'/', &dir[..dir.len() - 1]).map_or(0, |at| at + 1)
}

fn root_of(key: KeyRef<'_>) -> &[u8] {
    &key.url()[..usize::from(key.layout().path) + 1]
}

fn directory_of(key: KeyRef<'_>) -> &[u8] {
    let path_end = usize::from(key.layout().path_end);
    let upto = &key.url()[..path_end];
    let end = memchr::memrchr(b'/', upto).map_or(path_end, |at| at + 1);
    &upto[..end]
}
