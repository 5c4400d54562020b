"""gitleaks' rules as we run them; keys are made up for these tests."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n" * 3 + "Qk4=\n"


def found(text: str) -> list[tuple[str, str]]:
    return [(span.rule, text[span.start : span.end]) for span in SECRETS.find(text)]


@pytest.mark.parametrize(
    ("text", "rule", "secret"),
    [
        (
            "push with ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9.",
            "github-pat",
            "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9",
        ),
        ("id AKIAQYLPMN5HFIQR7XYA, ok", "aws-access-token", "AKIAQYLPMN5HFIQR7XYA"),
        ("api_key = 'zX81kLmQ02pRt7vYw3bN'", "generic-api-key", "zX81kLmQ02pRt7vYw3bN"),
        ("(token: q9Lr72MxPz04KdTe81Wv)", "generic-api-key", "q9Lr72MxPz04KdTe81Wv"),
        ("postgres://bob:s3cr3tPa55@db.local/x", "url-credentials", "s3cr3tPa55"),
        (
            'curl -X POST \\\n -H "Authorization: Bearer abcdefgh12345XYZ" https://x.org',
            "curl-auth-header",
            "abcdefgh12345XYZ",
        ),
        ("密钥是AKIAQYLPMN5HFIQR7XYA。", "aws-access-token", "AKIAQYLPMN5HFIQR7XYA"),
    ],
)
def test_finds_the_secret_and_nothing_around_it(text: str, rule: str, secret: str) -> None:
    assert (rule, secret) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "The key to success: practise, responsibility and a bit of luck.",
        "password: hunter2",
        "api_key = os.environ['OPENAI_API_KEY']",
        "token = get_access_token_from_request(request)",
        "postgres://user:password@localhost/db and https://x.org:8080/a@b",
        "A private key begins with -----BEGIN PRIVATE KEY----- and then says things in base64.",
        "AKIAIOSFODNN7EXAMPLE",
        "",
    ],
)
def test_leaves_what_only_speaks_of_secrets(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "postgres://postgres:postgres@db",
        "amqp://guest:guest@rabbit:5672/",
        "mysql://root:root@127.0.0.1/test",
        "DATABASE_URL=postgresql+asyncpg://admin:admin@localhost:5432/app",
        "mongodb://root:example@mongo:27017/?authSource=admin",
        "redis://:redis@cache:6379/0",
        "postgres://app:mysecretpassword@db/app",
        "http://minioadmin:minioadmin@minio:9000",
        "http://elastic:changeme@es:9200",
        "neo4j://neo4j:neo4j@graph and http://admin:admin123@grafana:3000",
        "mysql://wordpress:wordpress@db/wordpress",
        "postgres://myapp:myapp@db/myapp_test",
        "postgres://user:${DB_PASSWORD}@db and amqp://u:<password>@h and ftp://u:****@h",
        "scott:tiger, sqlserver://sa:yourStrong(!)Password@mssql:1433",
    ],
)
def test_credentials_that_everybody_knows_stay(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://postgres:Xk29vLq81mZ@db", "Xk29vLq81mZ"),
        ("amqp://guest:kR7-wpQ2_tt9@rabbit:5672/", "kR7-wpQ2_tt9"),
        ("mysql://root:root-9f3A77bc@10.0.0.4/live", "root-9f3A77bc"),
        ("redis://:7b!fQ0z2Lp@cache:6379/0", "7b!fQ0z2Lp"),
        ("https://ci-bot:zq81LmPv0W@git.example.org/x.git", "zq81LmPv0W"),
        ("postgres://app:zq81@LmPv0W@db/x", "zq81@LmPv0W"),
        ("postgres://app@acme:zq81LmPv0W@db/x", "zq81LmPv0W"),
        ("postgresql+asyncpg+something://app:zq81LmPv0W@db/x", "zq81LmPv0W"),
        ('{"a":"amqp://bob:zq81LmPv0W@h","b":"me@x.org"}', "zq81LmPv0W"),
    ],
)
def test_credentials_of_ones_own_go(text: str, secret: str) -> None:
    assert ("url-credentials", secret) in found(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("api_secret: Zx4K!p9Lm#2Qr7$Ns3Vt%", "Zx4K!p9Lm#2Qr7$Ns3Vt%"),
        ('"client_secret": "q7!Rt_92#LmZx$0pW"', "q7!Rt_92#LmZx$0pW"),
        ("DB_PASSWORD='k9#mq2!xv7@pz4$w'", "k9#mq2!xv7@pz4$w"),
        ("export PGPASSWORD=v8&Jq3*Lp1^Zs6", "v8&Jq3*Lp1^Zs6"),
        ("My password is Tr0ub4dor&3xQ!z9, keep it.", "Tr0ub4dor&3xQ!z9"),
        ("smtp_pass = hT6%bN2@wK8!", "hT6%bN2@wK8!"),
        ("passphrase: 8fJ;2kQ~vX0|mR5", "8fJ;2kQ~vX0|mR5"),
        ("signing_key => 'aB3$dE6^gH9&jK2*'", "aB3$dE6^gH9&jK2*"),
        ("DB_PASS=h7Kd92JfLs83jdKQ", "h7Kd92JfLs83jdKQ"),
        ('auth-token: "pL0)oK9(iJ8*uH7&"', "pL0)oK9(iJ8*uH7&"),
        ("SECRET_KEY_BASE=4c!9eF2@7aB5#d81", "4c!9eF2@7aB5#d81"),
        ("密码 password: Wq3!Er5@Ty7#Ui9$ 谢谢", "Wq3!Er5@Ty7#Ui9$"),
        (r"{\"api_secret\": \"Zx4K!p9Lm#2Qr7\"}", "Zx4K!p9Lm#2Qr7"),
        ('{"name": "API_KEY", "value": "Zx4K!p9Lm#2Qr7"}', "Zx4K!p9Lm#2Qr7"),
        ("- name: DB_PASSWORD\n  value: Zx4K!p9Lm#2Qr7", "Zx4K!p9Lm#2Qr7"),
        ("password: >-\n  Zx4K!p9Lm#2Qr7", "Zx4K!p9Lm#2Qr7"),
        ('<property name="password" value="Zx4K!p9Lm#2Qr7"/>', "Zx4K!p9Lm#2Qr7"),
        ("<SecretAccessKey>Zx4Kp9Lm2Qr7Tv0</SecretAccessKey>", "Zx4Kp9Lm2Qr7Tv0"),
        ('api_key: str = "Zx4Kp9Lm2Qr7Tv0"', "Zx4Kp9Lm2Qr7Tv0"),
        ('let token: &str = "Zx4Kp9Lm2Qr7Tv0";', "Zx4Kp9Lm2Qr7Tv0"),
        ("**Password:** Zx4K!p9Lm#2Qr7", "Zx4K!p9Lm#2Qr7"),
        ("| password | Zx4K!p9Lm#2Qr7 |", "Zx4K!p9Lm#2Qr7"),
        ("helm repo add x y --password Zx4Kp9Lm2Qr7Tv0", "Zx4Kp9Lm2Qr7Tv0"),
        ("ENV API_KEY Zx4Kp9Lm2Qr7Tv0", "Zx4Kp9Lm2Qr7Tv0"),
        ('#define API_KEY "Zx4Kp9Lm2Qr7Tv0"', "Zx4Kp9Lm2Qr7Tv0"),
        ("aws configure set aws_secret_access_key Zx4Kp9Lm2Qr7Tv0", "Zx4Kp9Lm2Qr7Tv0"),
        ("machine x\n  login ann\n  password Zx4Kp9Lm2Qr7Tv0", "Zx4Kp9Lm2Qr7Tv0"),
    ],
)
def test_a_random_value_behind_a_name_that_says_secret_goes(text: str, secret: str) -> None:
    assert secret in [what for _, what in found(text)]


@pytest.mark.parametrize(
    "text",
    [
        "token = request.headers.get('X-Api-Token2')",
        "secret_name: projects/Acme1/secrets/Db-Password-2",
        "password_url: https://example.org/Reset1?x=2",
        "The token expires at 2024-01-02T10:00:00Z.",
        "const token = await getToken(userId, 15);",
        "client_secret: ${CLIENT_SECRET_2}",
        "password: {{ .Values.db.Password1 }}",
        "api_key: your-API-key-123-here!",
        "The secret to good bread is 24-hour fermentation.",
        "password: correct horse battery staple",
        "token_type: Bearer, access_token_lifetime: 3600",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "secret: arn:aws:secretsmanager:eu-west-1:123456789012:secret:Db-a1B2c3",
        "credential: Ann.Lee42@example.org",
        "password must match ^(?=.*[A-Z])(?=.*[0-9]).{12,}$",
        "the pass: 12.05.2024, 10:30",
        "| password | string | required-2-Chars |",
        "- name: DB_PASSWORD\n  valueFrom: {secretKeyRef: {name: Db-Secret-1}}",
        "- name: API_TOKEN\n  value: $(SECRET_TOKEN_V2)",
        "<password>${env.DB_PASS_1}</password> and cassandra://<user>:<password>@dc1-Service:9042/x",
        'password: str = Field(default="", min_length=12)',
        'const SECRET_KEY: &str = env!("SECRET_KEY_2024");',
        "--token ${{ secrets.GITHUB_TOKEN1 }} --client-key ./certs/Client-Key1.pem",
        "#define SECRET_LENGTH (KEY_SIZE_128 + 4)",
        "docker login --password-stdin Registry1.acme.dev/x",
    ],
)
def test_what_only_stands_behind_such_a_name_stays(text: str) -> None:
    assert found(text) == []


def test_a_very_long_value_is_found_whole() -> None:
    value = "Zx4K!p9Lm#2Qr7" * 20
    assert found(f"api_secret: {value} ok") == [("assigned-secret", value)]


def test_a_value_ends_where_another_script_begins() -> None:
    assert found("db_pass: Zx4Kp9Lm2Qr7你好") == [("assigned-secret", "Zx4Kp9Lm2Qr7")]


def test_a_private_key_is_found_whole() -> None:
    text = f"here {PEM}-----END RSA PRIVATE KEY----- bye"
    assert found(text) == [("private-key", text[5:-4])]


def test_a_private_key_cut_off_is_found_as_far_as_it_goes() -> None:
    assert found(f"here {PEM}")[0][1].startswith("-----BEGIN RSA")


def test_places_are_told_in_characters() -> None:
    text = "🔑é AKIAQYLPMN5HFIQR7XYA"
    (span,) = SECRETS.find(text)
    assert (span.start, span.end) == (3, 23)


def test_a_lone_surrogate_does_no_harm() -> None:
    assert found("\ud800 AKIAQYLPMN5HFIQR7XYA") == [("aws-access-token", "AKIAQYLPMN5HFIQR7XYA")]


def test_a_generic_find_comes_after_a_named_one() -> None:
    rules = [rule for rule, _ in found("api_key = 'sk_live_4eC39HqLyjWDarjtT1zdp7dc'")]
    assert rules == ["stripe-access-token", "generic-api-key"]


# Anything but linear takes hours.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["key key key key = " * 20_000, "a" * 300_000, "-----BEGIN " * 30_000, "curl " * 60_000]
)
def test_no_text_takes_long(text: str) -> None:
    SECRETS.find(text)
    SECRETS.settled(text)


def test_the_options_of_a_curl_command_are_open_until_its_line_ends() -> None:
    assert SECRETS.settled('run curl -u "tom:my pass ') == 9
    assert SECRETS.settled("run curl \\\n -") == 12
    assert SECRETS.settled("run curl -u tom:x http://y\n") == 27


@pytest.mark.parametrize(
    "text", ["curl is a tool for URLs. " * 9, "how to curl your hair, if ", "a curl "]
)
def test_words_about_curl_are_not_held(text: str) -> None:
    assert SECRETS.settled(text) == len(text)
