//! Lists at an upstream: what it does itself, and what is done here.

use ops::{Error, gateway::requests, scim_client::status_of};
use scim::ListQuery;

use super::{KIND, create};
use crate::{
    support::{asked, houses},
    upstream::Mishap,
};

#[tokio::test]
async fn what_the_upstream_does_not_do_is_done_here_and_what_it_does_is_left_to_it() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        for name in ["b", "c", "a"] {
            create(&cx().await, name).await.unwrap();
        }
        let names = |page: &scim::ListResponse| {
            page.resources
                .iter()
                .map(|user| user["userName"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let query = |text: &str| ListQuery::parse(KIND, text).unwrap();
        let list = async |text: &str| {
            requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &query(text)).await.unwrap()
        };
        memory.called();
        let page = list("sortBy=userName&sortOrder=descending&startIndex=2&count=1").await;
        assert_eq!((names(&page), page.total_results), (vec!["b".to_owned()], 3));
        let called = memory.called();
        assert_eq!(called[0], "Get /ServiceProviderConfig");
        assert!(called[1..].iter().all(|call| !call.contains("sortBy")), "{called:?}");
        // By cursor, in an order that is made here: who comes in between shifts nothing.
        let first = list("cursor=&count=2&sortBy=userName").await;
        assert_eq!(names(&first), ["a", "b"]);
        create(&cx().await, "0").await.unwrap();
        let next = first.next_cursor.unwrap();
        let last = list(&format!("cursor={next}&count=2&sortBy=userName")).await;
        assert_eq!((names(&last), last.next_cursor), (vec!["c".to_owned()], None));
        // It is another key's, or too old: it opens nothing.
        let (_, other) = house.key(&federation, "another").await;
        let stranger = house.client(&federation, &other).await;
        let asks = query(&format!("cursor={next}&count=2&sortBy=userName"));
        let refused =
            requests::list(&stranger, &asked("GET", "Users"), KIND.into(), &asks).await.unwrap_err();
        assert_eq!(status_of(&refused), 400);
        house.clock.advance(60 * 60 * 1_000);
        let late = requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &asks).await.unwrap_err();
        assert!(late.to_string().contains("3600 seconds"), "{late}");

        // It says that it sorts and pages by cursor: then it is asked to.
        memory.next(Mishap::Answer(200, r#"{"sort":{"supported":true},"pagination":{"cursor":true}}"#));
        memory.next(Mishap::Answer(200, r#"{"totalResults":4,"nextCursor":"theirs","Resources":[]}"#));
        memory.called();
        let page = list("cursor=&count=2&sortBy=userName").await;
        let next = page.next_cursor.unwrap();
        assert!(!next.contains("theirs"));
        list(&format!("cursor={next}&count=2&sortBy=userName")).await;
        assert_eq!(
            memory.called(),
            [
                "Get /ServiceProviderConfig",
                "Get /Users?count=2&cursor=&sortBy=userName&sortOrder=ascending",
                "Get /Users?count=2&cursor=theirs&sortBy=userName&sortOrder=ascending",
            ]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn no_order_reads_more_than_it_may() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        let sorted = ListQuery::parse(KIND, "sortBy=userName").unwrap();
        let list = async || {
            requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &sorted).await.unwrap_err()
        };
        memory.next(Mishap::Answer(200, "{}"));
        memory.next(Mishap::Answer(200, r#"{"totalResults":10001,"Resources":[{"id":"1"}]}"#));
        let refused = list().await;
        let Error::Scim(refused) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.scim_type, Some(scim::ScimType::TooMany), "{refused:?}");
        // One that gives the same page for ever is not read for ever.
        for _ in 0..2 {
            memory.next(Mishap::Answer(200, r#"{"totalResults":9,"Resources":[{"id":"1"}]}"#));
        }
        assert_eq!(status_of(&list().await), 503);
        house.close().await;
    }
}
