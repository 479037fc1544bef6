use super::{Selector, TagsRef};
use crate::{key::KeyRef, site::Sites, vary::VaryRef};
#[derive(Debug)]
pub struct Program;
#[derive(Debug)]
pub enum Shape {
    Url(Box<[u8]>), Key(Box<[u8]>), Variant { key: Box<[u8]>, headers: http::HeaderMap },
    Directory { dir: Box<[u8]>, recursive: bool }, Extension { dir: Box<[u8]>, recursive: bool, ext: Box<[u8]> },
    Residual { dir: Box<[u8]>, program: Program }, Host { name: Box<[u8]>, port: Option<u16>, below: bool }, Tag(Box<[u8]>), All,
}
#[derive(Debug)]
pub struct Compiled { shape: Shape }
#[derive(Debug)]
pub struct Subject<'a> { pub key: KeyRef<'a>, pub vary: Option<VaryRef<'a>>, pub tags: TagsRef<'a> }
impl Compiled {
    pub(crate) fn shape(&self) -> &Shape { &self.shape }
    pub fn matches(&self, _s: &Subject<'_>) -> bool { todo!() }
}
impl Shape {
    pub(crate) fn walks(&self) -> Option<(&[u8], bool)> { todo!() }
    pub(crate) fn covers_root(&self, _root: &[u8]) -> bool { todo!() }
}
#[derive(Debug)]
pub struct SelectorError;
impl std::fmt::Display for SelectorError { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
impl SelectorError {
    pub fn is_over_budget(&self) -> bool { todo!() }
    pub fn is_too_large(&self) -> bool { todo!() }
    pub fn position(&self) -> Option<usize> { None }
    pub fn limit(&self) -> Option<(&'static str, u64)> { None }
}
impl Selector { pub fn compile(&self, _s: &Sites) -> Result<Vec<Compiled>, SelectorError> { todo!() } }
