"""New jobs and files as vendors tell them that have a shape of their own: what the matrix lets them answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.replay.reading import Json

_FIREWORKS_JOB: Json = {"state": "JOB_STATE_VALIDATING", "createTime": "1970-01-01T00:00:01Z", "model": "m"}
_VERTEX_JOB: Json = {"state": "JOB_STATE_PENDING", "createTime": "1970-01-01T00:00:01Z"}
_VERTEX_PLACE = "projects/matrix/locations/us-central1"
_TOGETHER_JOB: Json = {"id": "job-1", "created_at": "1970-01-01T00:00:01Z", "updated_at": "1970-01-01T00:00:01Z"}
_ARK_JOB: Json = {
    "Id": "job-1",
    "Name": "a",
    "ModelReference": {"FoundationModel": {"Name": "seed-1-6", "ModelVersion": "250915"}},
    "Status": {"Phase": "Queued", "PhaseTime": "1970-01-01T00:00:01Z", "Message": ""},
    "CreateTime": "1970-01-01T00:00:01Z",
}
_ARK: Json = {"RequestId": "1", "Version": "2024-01-01", "Service": "ark", "Region": "ap-southeast-1"}
JOBS: Mapping[str, Any] = {
    "byteplus.batches": {
        "ResponseMetadata": _ARK,
        "Result": {
            **_ARK_JOB,
            "InputFileTosLocation": {"BucketName": "matrix", "ObjectKey": "file-1"},
            "OutputDirTosLocation": {"BucketName": "matrix-bucket", "ObjectKey": "results/"},
            "CompletionWindow": "1d",
            "RequestCounts": {"Total": 0, "Completed": 0, "Failed": 0},
        },
    },
    "byteplus.fine_tuning": {
        "ResponseMetadata": _ARK,
        "Result": {
            **_ARK_JOB,
            "CustomizationType": "FinetuneSft",
            "Data": {"TrainingSet": {"TosBucket": "matrix", "TosPaths": ["file-1"]}},
        },
    },
    "anthropic.batches": {
        "id": "job-1",
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "1970-01-01T00:00:01Z",
        "expires_at": "1970-01-02T00:00:01Z",
        "ended_at": None,
        "results_url": None,
    },
    "xai.batches": {
        "batch_id": "job-1",
        "name": "file-1",
        "create_time": "1970-01-01T00:00:01Z",
        "input_file_id": "file-1",
        "state": {"num_requests": 0, "num_pending": 0, "num_success": 0, "num_error": 0, "num_cancelled": 0},
    },
    "voyage.batches": {
        "id": "job-1",
        "object": "batch",
        "endpoint": "/v1/embeddings",
        "input_file_id": "file-1",
        "completion_window": "12h",
        "model": "m",
        "status": "validating",
        "created_at": "1970-01-01T00:00:01.031781+00:00",
    },
    "jina.batches": {"batch_id": "job-1", "status": "submitted", "created_at": 1},
    "openrouter.batches": {
        "id": "job-1",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": "m",
        "completion_window": "24h",
        "status": "validating",
        "created_at": 1,
        "finalized_at": None,
        "request_counts": {"total": 1, "completed": 0, "failed": 0},
        "usage": None,
        "results": None,
        "error": None,
    },
    "openrouter.files": {
        "id": "file-1",
        "type": "file",
        "filename": "talk.wav",
        "mime_type": "audio/wav",
        "size_bytes": 2,
        "created_at": "1970-01-01T00:00:01Z",
        "downloadable": False,
    },
    "replicate.files": {
        "id": "file-1",
        "size": 2,
        "content_type": "audio/wav",
        "created_at": "1970-01-01T00:00:01Z",
        "expires_at": "1970-01-02T00:00:01Z",
        "checksums": {},
        "metadata": {},
        "urls": {"get": "https://api.replicate.com/v1/files/file-1"},
    },
    "replicate.fine_tuning": {
        "id": "job-1",
        "model": "ostris/flux-dev-lora-trainer",
        "version": "v",
        "input": {"input_images": "https://api.replicate.com/v1/files/file-1"},
        "logs": "",
        "error": None,
        "status": "starting",
        "created_at": "1970-01-01T00:00:01Z",
    },
    "cloudflare.batches": {
        "result": {"status": "queued", "request_id": "job-1", "model": "some-model"},
        "success": True,
        "errors": [],
        "messages": [],
    },
    "vercel.batches": {"batchId": "job-1", "status": "pending", "createdAt": "1970-01-01T00:00:01Z"},
    "writer.files": {
        "id": "file-1",
        "name": "talk.wav",
        "created_at": "1970-01-01T00:00:01Z",
        "graph_ids": [],
        "status": "in_progress",
    },
    "ai21.files": {
        "fileId": "file-1",
        "name": "talk.wav",
        "fileType": "wav",
        "sizeBytes": 2,
        "creationDate": "1970-01-01T00:00:01Z",
        "status": "UPLOADED",
    },
    "ai21.batches": {
        "id": "job-1",
        "endpoint": "/v1/chat/completions",
        "status": "PENDING",
        "created_at": 1,
        "request_counts": {"total": 1, "completed": 0, "failed": 0},
        "metadata": None,
        "output_file": None,
        "error_file": None,
    },
    "anthropic.files": {
        "id": "file-1",
        "type": "file",
        "filename": "talk.wav",
        "mime_type": "audio/wav",
        "size_bytes": 2,
        "created_at": "1970-01-01T00:00:01Z",
    },
    "google.files": {
        "file": {
            "name": "files/file-1",
            "displayName": "talk.wav",
            "mimeType": "audio/wav",
            "sizeBytes": "2",
            "createTime": "1970-01-01T00:00:01Z",
            "state": "PROCESSING",
        }
    },
    "fireworks.files": {
        "name": "accounts/matrix/datasets/file-1",
        "state": "UPLOADING",
        "createTime": "1970-01-01T00:00:01Z",
    },
    "cohere.files": {
        "id": "file-1",
        "name": "talk.wav",
        "created_at": "1970-01-01T00:00:01Z",
        "dataset_type": "batch-openai-chat-input",
        "validation_status": "queued",
    },
    "minimax.files": {
        "file": {
            "file_id": "file-1",
            "bytes": 2,
            "created_at": 1,
            "filename": "talk.wav",
            "purpose": "video_understanding",
        },
        "base_resp": {"status_code": 0, "status_msg": "success"},
    },
    "mistral.batches": {
        "id": "job-1",
        "object": "batch",
        "input_files": ["file-1"],
        "endpoint": "/v1/chat/completions",
        "errors": [],
        "status": "QUEUED",
        "created_at": 1,
        "total_requests": 0,
        "completed_requests": 0,
        "succeeded_requests": 0,
        "failed_requests": 0,
    },
    "together.batches": {"job": {**_TOGETHER_JOB, "status": "VALIDATING", "input_file_id": "file-1"}},
    "fireworks.batches": {
        **_FIREWORKS_JOB,
        "name": "accounts/matrix/batchInferenceJobs/job-1",
        "inputDatasetId": "accounts/matrix/datasets/file-1",
    },
    "cohere.batches": {
        "batch": {
            "id": "job-1",
            "name": "file-1",
            "input_dataset_id": "file-1",
            "model": "m",
            "status": "BATCH_STATUS_QUEUED",
            "created_at": "1970-01-01T00:00:01Z",
        }
    },
    "together.fine_tuning": {**_TOGETHER_JOB, "status": "queued", "model": "m", "training_file": "file-1"},
    "fireworks.fine_tuning": {
        **_FIREWORKS_JOB,
        "state": "JOB_STATE_PENDING",
        "name": "accounts/matrix/supervisedFineTuningJobs/job-1",
        "dataset": "accounts/matrix/datasets/file-1",
    },
    "dashscope.fine_tuning": {
        "request_id": "1",
        "output": {
            "job_id": "job-1",
            "status": "PENDING",
            "model": "m",
            "training_file_ids": ["file-1"],
            "training_type": "sft",
            "create_time": "1970-01-01 00:00:01",
        },
    },
    "predibase.fine_tuning": {
        "uuid": "job-1",
        "status": "queued",
        "baseModel": "m",
        "datasetName": "file-1",
        "targetRepoName": "r",
        "targetVersionTag": 1,
        "queued": {"startedAt": "1970-01-01T00:00:01Z"},
    },
    "vertex.batches": {
        **_VERTEX_JOB,
        "name": f"{_VERTEX_PLACE}/batchPredictionJobs/job-1",
        "model": "publishers/google/models/gemini-2.5-flash",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://matrix/file-1"]}},
    },
    "vertex.fine_tuning": {
        **_VERTEX_JOB,
        "name": f"{_VERTEX_PLACE}/tuningJobs/job-1",
        "baseModel": "gemini-2.5-flash",
        "supervisedTuningSpec": {"trainingDatasetUri": "gs://matrix/file-1"},
    },
}
"""New jobs and files as vendors tell them that have a shape of their own, by dialect."""
TOLD: Mapping[str, tuple[str, int]] = {
    "cloudflare.batches": ("batch_L3YxL2NoYXQvY29tcGxldGlvbnMKc29tZS1tb2RlbApqb2ItMQ", 0)
}
"""Id and time of a new job, where the vendor's id says too little and no time is told."""
