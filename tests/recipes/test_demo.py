"""`make demo` finds every recording and score that its requests name, and has a request for every task."""

from uniaudio.recipes.demo import _FOLDERS, _REQUESTS
from uniaudio.tasks import TASKS

FILES = ("codec", "voice", "semantic", "midi")  # modalities whose fields name a file


def test_every_task_has_a_request_whose_files_are_in_the_package():
    assert set(_REQUESTS) == set(TASKS)
    for name, requests in _REQUESTS.items():
        for fields in requests:
            assert set(fields) == set(TASKS[name].given)
            for field in {field for field, modality in TASKS[name].items if modality in FILES}:
                assert any((folder / fields[field]).is_file() for folder in _FOLDERS), fields[field]
