use super::*;
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case::loopback("127.0.0.1")]
#[case::any_loopback("127.255.255.254")]
#[case::unspecified("0.0.0.0")]
#[case::private_10("10.1.2.3")]
#[case::private_172("172.31.255.255")]
#[case::private_192("192.168.0.1")]
#[case::metadata("169.254.169.254")]
#[case::carrier("100.64.0.1")]
#[case::alibaba_metadata("100.100.100.200")]
#[case::azure_host("168.63.129.16")]
#[case::documentation("203.0.113.9")]
#[case::benchmark("198.19.255.255")]
#[case::multicast("239.1.1.1")]
#[case::reserved("250.0.0.1")]
#[case::broadcast("255.255.255.255")]
#[case::loopback_v6("::1")]
#[case::unspecified_v6("::")]
#[case::unique_local("fd00::1")]
#[case::aws_metadata_v6("fd00:ec2::254")]
#[case::link_local("fe80::1")]
#[case::site_local("fec0::1")]
#[case::multicast_v6("ff02::1")]
#[case::mapped("::ffff:10.0.0.1")]
#[case::compatible("::127.0.0.1")]
#[case::six_to_four("2002:7f00:1::")]
#[case::nat64("64:ff9b::a9fe:a9fe")]
#[case::nat64_local("64:ff9b:1::1")]
#[case::teredo("2001::1")]
#[case::documentation_v6("2001:db8::1")]
#[case::documentation_v6_new("3fff::1")]
#[case::discard("100::1")]
#[case::segment_routing("5f00::1")]
fn what_is_not_public_is_known(#[case] address: &str) {
    assert!(!is_public(address.parse().unwrap()));
}

#[rstest]
#[case::v4("1.1.1.1")]
#[case::beside_private("172.32.0.1")]
#[case::beside_carrier("100.128.0.1")]
#[case::v6("2606:4700::1111")]
#[case::mapped("::ffff:1.1.1.1")]
#[case::nat64("64:ff9b::101:101")]
#[case::six_to_four("2002:101:101::1")]
fn what_is_public_is_known(#[case] address: &str) {
    assert!(is_public(address.parse().unwrap()));
}

/// Every way to write an address of IPv4 as one of IPv6, with whatever else fits in.
fn forms(address: Ipv4Addr, rest: u64) -> [Ipv6Addr; 3] {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let six_to_four = (0x2002_u128 << 112)
        | (u128::from(high) << 96)
        | (u128::from(low) << 80)
        | u128::from(rest);
    [
        address.to_ipv6_mapped(),
        Ipv6Addr::from(six_to_four),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
    ]
}

proptest! {
    #[test]
    fn another_form_of_an_address_is_as_public_as_it(bits: u32, rest: u64) {
        let address = Ipv4Addr::from_bits(bits);
        for form in forms(address, rest) {
            prop_assert_eq!(is_public(form.into()), is_public(address.into()), "{}", form);
        }
    }

    #[test]
    fn nothing_inside_of_a_network_that_is_not_public_is(bits: u32, rest: u64, which in 0..NOT_PUBLIC_V4.len()) {
        let network = NOT_PUBLIC_V4[which];
        let host = bits & network.hostmask().to_bits();
        let address = Ipv4Addr::from_bits(network.network().to_bits() | host);
        prop_assert!(!is_public(address.into()));
        for form in forms(address, rest) {
            prop_assert!(!is_public(form.into()), "{}", form);
        }
    }

    #[test]
    fn what_the_standard_library_knows_to_be_special_is_not_public(bits: u32, wide: u128) {
        let address = Ipv4Addr::from_bits(bits);
        let special = address.is_private() || address.is_loopback() || address.is_link_local()
            || address.is_multicast() || address.is_broadcast() || address.is_unspecified()
            || address.is_documentation();
        prop_assert!(!(special && is_public(address.into())), "{}", address);
        let address = Ipv6Addr::from_bits(wide);
        let special = address.is_unique_local() || address.is_unicast_link_local()
            || address.is_multicast() || address.is_loopback() || address.is_unspecified();
        prop_assert!(!(special && is_public(address.into())), "{}", address);
    }

    #[test]
    fn only_what_is_in_a_network_is_allowed_by_it(bits: u32, length in 0_u8..=32, other: u32) {
        let network = Ipv4Net::new(Ipv4Addr::from_bits(bits), length).unwrap();
        let allowed = AllowedNetworks::new(&[network.into()]);
        let other = Ipv4Addr::from_bits(other);
        prop_assert_eq!(allowed.contain(other.into()), network.contains(&other));
        prop_assert_eq!(allowed.contain(other.to_ipv6_mapped().into()), network.contains(&other));
        prop_assert!(!AllowedNetworks::default().contain(other.into()));
    }
}
