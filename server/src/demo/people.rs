//! The people of the demo: those who sign in, and those who are provisioned.

/// Somebody who may sign in at the demo's identity provider.
pub struct SignInPerson {
    /// The word in the form.
    pub word: &'static str,
    /// `sub`.
    pub subject: &'static str,
    /// `name`.
    pub name: &'static str,
    /// `email`.
    pub email: &'static str,
    /// `groups`.
    pub groups: &'static [&'static str],
    /// What the button says after "Sign in as".
    pub label: &'static str,
}

/// The group that makes an admin.
pub const ADMINS: &str = "keyward-admins";
/// The group that makes a manager.
pub const MANAGERS: &str = "keyward-managers";
/// The group that makes an operator of Okta production.
pub const OKTA_OPERATORS: &str = "okta-operators";

/// Who may sign in. The first is the administrator who set everything up.
pub const SIGN_INS: [SignInPerson; 4] = [
    SignInPerson {
        word: "ana",
        subject: "b3f1c7d2-ana",
        name: "Ana Ferreira",
        email: "ana.ferreira@northwind.example",
        groups: &[ADMINS],
        label: "Ana Ferreira (admin)",
    },
    SignInPerson {
        word: "max",
        subject: "7c2e9a10-max",
        name: "Max Berg",
        email: "max.berg@northwind.example",
        groups: &[OKTA_OPERATORS, "staff"],
        label: "Max Berg (operator of okta-production)",
    },
    SignInPerson {
        word: "rui",
        subject: "e04d5b88-rui",
        name: "Rui Costa",
        email: "rui.costa@northwind.example",
        groups: &[MANAGERS],
        label: "Rui Costa (manager)",
    },
    SignInPerson {
        word: "nobody",
        subject: "19aa63f4-kim",
        name: "Kim Sato",
        email: "kim.sato@northwind.example",
        groups: &["staff"],
        label: "somebody without a role",
    },
];

/// Who is provisioned: given name, family name, title, department.
pub const STAFF: [(&str, &str, &str, &str); 40] = [
    ("Amara", "Okafor", "Staff Engineer", "Engineering"),
    ("Jonas", "Lindqvist", "Engineering Manager", "Engineering"),
    ("Priya", "Raman", "Software Engineer", "Engineering"),
    ("Tomás", "Herrera", "Site Reliability Engineer", "Engineering"),
    ("Mei", "Tanaka", "Security Engineer", "Engineering"),
    ("Olivia", "Grant", "Account Executive", "Sales"),
    ("Kwame", "Mensah", "Sales Director", "Sales"),
    ("Sofia", "Marchetti", "Sales Engineer", "Sales"),
    ("Lukas", "Novak", "Account Executive", "Sales"),
    ("Hannah", "Weiss", "Support Lead", "Support"),
    ("Diego", "Ramos", "Support Engineer", "Support"),
    ("Fatima", "El-Sayed", "Support Engineer", "Support"),
    ("Noah", "Keller", "Technical Writer", "Support"),
    ("Ingrid", "Dahl", "Controller", "Finance"),
    ("Samuel", "Osei", "Accountant", "Finance"),
    ("Chloé", "Bernard", "Payroll Specialist", "Finance"),
    ("Yuki", "Mori", "Data Engineer", "Engineering"),
    ("Elif", "Demir", "Product Designer", "Engineering"),
    ("Marco", "Conti", "Software Engineer", "Engineering"),
    ("Aisha", "Khan", "Software Engineer", "Engineering"),
    ("Peter", "Novotny", "Account Executive", "Sales"),
    ("Laura", "Silva", "Customer Success Manager", "Sales"),
    ("Ravi", "Patel", "Sales Operations", "Sales"),
    ("Emma", "Lefèvre", "Account Executive", "Sales"),
    ("Björn", "Eriksson", "Support Engineer", "Support"),
    ("Nadia", "Petrova", "Support Engineer", "Support"),
    ("Carlos", "Mendes", "Support Engineer", "Support"),
    ("Grace", "Wanjiru", "Quality Engineer", "Engineering"),
    ("Ivan", "Horvat", "Network Engineer", "Engineering"),
    ("Zoë", "van Dijk", "Release Manager", "Engineering"),
    ("Ahmed", "Hassan", "Buyer", "Finance"),
    ("Julia", "Kowalska", "Financial Analyst", "Finance"),
    ("Liam", "O'Connor", "Software Engineer", "Engineering"),
    ("Sanjay", "Gupta", "Architect", "Engineering"),
    ("Marta", "Nowak", "Account Executive", "Sales"),
    ("Theo", "Papadakis", "Sales Engineer", "Sales"),
    ("Isabel", "Fuentes", "Support Engineer", "Support"),
    ("Henrik", "Solberg", "Auditor", "Finance"),
    ("Lin", "Zhao", "Software Engineer", "Engineering"),
    ("Oluwaseun", "Adeyemi", "Software Engineer", "Engineering"),
];

/// The groups that are provisioned, by department.
pub const GROUPS: [&str; 4] = ["Engineering", "Sales", "Support", "Finance"];

/// The user name of a member of [`STAFF`].
pub fn user_name((given, family, _, _): &(&str, &str, &str, &str)) -> String {
    let plain = |name: &str| -> String {
        name.chars()
            .filter_map(|c| match c {
                'é' | 'è' | 'ë' => Some('e'),
                'á' => Some('a'),
                'ö' => Some('o'),
                c if c.is_ascii_alphanumeric() => Some(c.to_ascii_lowercase()),
                _ => None,
            })
            .collect()
    };
    format!("{}.{}@northwind.example", plain(given), plain(family))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn user_names_are_plain_and_differ() {
        let names: BTreeSet<String> = STAFF.iter().map(user_name).collect();
        assert_eq!(names.len(), STAFF.len());
        assert!(names.iter().all(|name| name.is_ascii()));
        assert!(names.contains("zoe.vandijk@northwind.example"));
        assert!(STAFF.iter().all(|(_, _, _, department)| GROUPS.contains(department)));
    }
}
