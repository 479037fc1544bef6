//! `oust demo`.
pub(crate) fn run(once: bool) -> Result<(), String> {
    let _ = once;
    Err("not built".to_owned())
}
