"""Small closed lists: first names, places with their time zones, months and the like."""

from services.inference.demo_model.generator.phrasebook import sections

FIRST = """
Ada Adam Aisha Alan Alex Alice Amir Ana Anders Anna Anne Arjun Ben Bob Carla Carlos Chen Chloe
Clara Daniel David Deepa Diego Elena Emil Emma Erik Eva Fatima Felix Fiona Frank Freya George
Grace Hana Hannah Hans Harry Helen Hugo Ian Ibrahim Ines Ingrid Iris Ivan Jack James Jana Jane Jim
Joe John Jonas Jose Julia Karl Kate Kim Lara Laura Lee Leo Li Liam Lily Linda Lisa Louis Lucas
Lucy Luis Maria Mark Marta Mary Max Maya Mei Mia Mike Mohamed Nadia Nick Nina Noah Nora Olga
Oliver Olivia Omar Oscar Pablo Paul Pedro Peter Priya Rahul Raj Rex Rita Robert Rosa Ruth Sam
Samira Sara Sofia Stefan Susan Tara Tim Tom Uma Vera Victor Wei Yuki Yusuf Zoe
""".split()

MONTHS = (
    "January February March April May June July August September October November December"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SMALL_WORDS = "the a of and to in on for with at from by is are my her his our no not all".split()
PLACE_PREFIXES = "New San Saint Port Lake Mount North South East West Fort Upper El Los".split()
FOREIGN = """
München Zürich Kraków Málaga Łódź Århus Reykjavík 東京 北京 Москва Αθήνα café naïve crème Ångström
smörgåsbord jalapeño über señor coração żółw привет 日本語 한국 🙂 🚀 🎉 résumé façade
""".split()

# Every city and country the model knows the time zone of.
ZONES = {place: section.title for section in sections("zones") for place in section.lines}

PLACES = [
    *ZONES,
    *"""
Naples Turin Venice Florence Seville Valencia Porto Leipzig Dresden Stuttgart Bristol Leeds
Glasgow Cardiff Belfast Gothenburg Tromso Turku Gdansk Brno Basel Bern Salzburg Innsbruck Ghent
Antwerp Rotterdam Utrecht Marseille Nice Bordeaux Toulouse Quito Cusco Nashville Memphis Orlando
Tampa Cleveland Pittsburgh Baltimore Sacramento Tucson Calgary Winnipeg Halifax Sapporo Nagoya
Busan Hyderabad Pune Jaipur Lahore Chengdu Wuhan Xian Darwin Hobart Dakar Kampala Lusaka Harare
""".split(),
]
COUNTRIES = """
France Germany Spain Italy Norway Sweden Poland Greece Japan China India Brazil Mexico Canada Kenya
Egypt Texas Ohio Oregon Australia Ireland Portugal Chile Peru Turkey Austria US USA UK
""".split()
