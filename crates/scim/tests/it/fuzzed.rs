//! What fuzzing found, each as a case.

use scim::{Filter, PatchPath};

#[test]
fn numbers_print_as_they_read() {
    for number in
        ["1111111111111111111111", "1.1111111111111112e21", "500000000000000000000000000000000000", "5e+35"]
    {
        let filter = Filter::parse(&format!("title eq {number}")).expect(number);
        assert_eq!(Filter::parse(&filter.to_string()).as_ref(), Ok(&filter), "{number}");
        let path = PatchPath::parse(&format!("emails[value eq {number}]")).expect(number);
        assert_eq!(PatchPath::parse(&path.to_string()).as_ref(), Ok(&path), "{number}");
    }
}
