#[derive(Debug, Clone, Default)]
pub struct Tags(Vec<u8>);
#[derive(Debug, Clone, Copy)]
pub struct TagsRef<'a>(&'a [u8]);
impl Tags {
    pub fn encode<'a>(_t: impl IntoIterator<Item = &'a [u8]>) -> Self { todo!() }
    pub fn as_ref(&self) -> TagsRef<'_> { TagsRef(&self.0) }
}
impl<'a> TagsRef<'a> {
    pub const EMPTY: TagsRef<'static> = TagsRef(&[]);
    pub(crate) fn from_encoded(b: &'a [u8]) -> Self { Self(b) }
    pub(crate) fn as_bytes(self) -> &'a [u8] { self.0 }
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> { std::iter::once(self.0) }
}
