use super::*;

#[test]
fn a_share_and_a_factor_read_as_people_write_them() {
    assert_eq!(percent("5%"), Ok(0.05));
    assert_eq!(factor("2x"), Ok(2.0));
    for bad in ["-1%", "101%", "many", "NaN%"] {
        assert!(percent(bad).is_err(), "{bad}");
    }
    for bad in ["-1x", "infx", "x"] {
        assert!(factor(bad).is_err(), "{bad}");
    }
    for bad in ["good", "NaN", "2e9"] {
        assert!(number(bad).is_err(), "{bad}");
    }
}
