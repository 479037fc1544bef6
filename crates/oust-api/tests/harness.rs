//! The harness itself.
mod common;

#[test]
fn what_is_stored_is_held() {
    let fixture = common::Fixture::new([oust_api::Account::new("acme", ["h"])]);
    fixture.store("http://h/a@@v=1");
    assert!(fixture.holds("http://h/a@@v=1") && !fixture.holds("http://h/a"));
    assert_eq!(fixture.get("/nothing", &[]).status, 404);
}
