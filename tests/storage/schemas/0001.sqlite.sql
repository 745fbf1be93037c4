BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE nst_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT nst_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "nst_alembic_version" VALUES('0001');
CREATE TABLE nst_architecture (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	space TEXT NOT NULL, 
	choices JSON NOT NULL, 
	spec JSON NOT NULL, 
	parameters INTEGER NOT NULL, 
	macs INTEGER NOT NULL, 
	CONSTRAINT pk_nst_architecture PRIMARY KEY (id), 
	CONSTRAINT uq_nst_architecture_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_architecture" VALUES(1,'1e2aabef0ae5071db775764e1e1fc7b976508f77ced0c7d2383d2c6c2f011b90','mlp','{"hidden":[{"width":64,"skip":true}],"activation":"silu","normalisation":"none","dropout":0.0}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":64}],"shortcut":[]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}',4810,4736);
INSERT INTO "nst_architecture" VALUES(2,'e13cb5ad017af71960f42878784fd4d7c2612d63d7e327e953b79aa9f16b2f30','mlp','{"hidden":[{"width":128,"skip":false},{"width":64,"skip":false}],"activation":"gelu","normalisation":"batch_norm","dropout":0.0}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}',17610,17216);
INSERT INTO "nst_architecture" VALUES(3,'f656c491928154202dd05522e9e1baa046d6f84f0d87a3e304d761b884004010','mlp','{"hidden":[{"width":32,"skip":true},{"width":64,"skip":true},{"width":32,"skip":false}],"activation":"relu","normalisation":"batch_norm","dropout":0.3}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":32},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":32,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":64},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":64,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}',10954,10688);
CREATE TABLE nst_artifact (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	path TEXT NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	CONSTRAINT pk_nst_artifact PRIMARY KEY (id), 
	CONSTRAINT uq_nst_artifact_run_id_role UNIQUE (run_id, role), 
	CONSTRAINT fk_nst_artifact_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
);
INSERT INTO "nst_artifact" VALUES(1,1,'model','01M8H8W3GWMAP9XZK28YZS8R80','11d5b0105c32fad13a584a235854b441dd75e6d07adf05f98cf95fb528190242',73072);
INSERT INTO "nst_artifact" VALUES(2,6,'model','01M8H8W49W14R9ZNDZ5NRWB6YD','49233b44574f1813bb8a69b9162cd7cefd64a4541c53226237e1b53950fa69fd',73072);
CREATE TABLE nst_contribution (
	run_id INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	client TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT, 
	bytes_up INTEGER NOT NULL, 
	bytes_down INTEGER NOT NULL, 
	seconds DOUBLE NOT NULL, 
	CONSTRAINT pk_nst_contribution PRIMARY KEY (run_id, round, client), 
	CONSTRAINT fk_nst_contribution_run_id_round FOREIGN KEY(run_id, round) REFERENCES nst_round (run_id, number) ON DELETE CASCADE, 
	CONSTRAINT ck_nst_contribution_state CHECK (state IN ('accepted', 'rejected'))
);
INSERT INTO "nst_contribution" VALUES(6,1,'site-1','accepted',NULL,144191,1358,4.11511249999989559e-02);
INSERT INTO "nst_contribution" VALUES(6,1,'site-2','accepted',NULL,144191,1358,4.66023210000230392324e-02);
INSERT INTO "nst_contribution" VALUES(6,1,'site-3','accepted',NULL,144191,1358,1.63034240000001773296e-02);
INSERT INTO "nst_contribution" VALUES(6,2,'site-1','accepted',NULL,144191,145554,3.78147010000020600273e-02);
INSERT INTO "nst_contribution" VALUES(6,2,'site-2','accepted',NULL,144191,145554,2.86388819999956467654e-02);
INSERT INTO "nst_contribution" VALUES(6,2,'site-3','accepted',NULL,144191,145554,1.60157550000121773337e-02);
CREATE TABLE nst_dataset (
	id INTEGER NOT NULL, 
	fingerprint TEXT NOT NULL, 
	name TEXT NOT NULL, 
	rows INTEGER NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT pk_nst_dataset PRIMARY KEY (id), 
	CONSTRAINT uq_nst_dataset_fingerprint UNIQUE (fingerprint)
);
INSERT INTO "nst_dataset" VALUES(1,'171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','digits',1797,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}');
INSERT INTO "nst_dataset" VALUES(2,'sha256:22','left',5,'{}');
CREATE TABLE nst_environment (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT pk_nst_environment PRIMARY KEY (id), 
	CONSTRAINT uq_nst_environment_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_environment" VALUES(1,'d8e205ba0db4ca9e28b157ac5f94b1bb68bc96be48331d14426c6e9f01482e53','{"python":"3.11.7","implementation":"CPython","platform":"Linux-6.18.44-fc-v657-x86_64-with-glibc2.36","machine":"x86_64","cpus":2,"nasturtium":"0.1.0","packages":{"numpy":"2.4.6","polars":"2.1.0","safetensors":"0.8.0","optuna":"5.0.0","sqlalchemy":"2.1.9","alembic":"1.20.1","flwr":"1.41.0","tenseal":"0.3.18"},"commit":null}');
CREATE TABLE nst_federation (
	run_id INTEGER NOT NULL, 
	clients INTEGER NOT NULL, 
	rounds INTEGER NOT NULL, 
	strategy TEXT NOT NULL, 
	scheme TEXT NOT NULL, 
	alpha DOUBLE, 
	model_run_id INTEGER, 
	spec JSON NOT NULL, 
	CONSTRAINT pk_nst_federation PRIMARY KEY (run_id), 
	CONSTRAINT fk_nst_federation_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_federation_model_run_id FOREIGN KEY(model_run_id) REFERENCES nst_run (id) ON DELETE SET NULL
);
INSERT INTO "nst_federation" VALUES(6,3,2,'fedavg','plain',0.5,1,'{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}');
CREATE TABLE nst_metric (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	value DOUBLE, 
	special SMALLINT NOT NULL, 
	CONSTRAINT pk_nst_metric PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_nst_metric_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
);
INSERT INTO "nst_metric" VALUES(2,'val_accuracy',0.859504132231405,0);
INSERT INTO "nst_metric" VALUES(2,'val_loss',6.00784718990325927734e-01,0);
INSERT INTO "nst_metric" VALUES(2,'parameters',4810.0,0);
INSERT INTO "nst_metric" VALUES(2,'macs',4736.0,0);
INSERT INTO "nst_metric" VALUES(3,'val_accuracy',9.42148760330578483035e-01,0);
INSERT INTO "nst_metric" VALUES(3,'val_loss',3.26847046613693237304e-01,0);
INSERT INTO "nst_metric" VALUES(3,'parameters',17610.0,0);
INSERT INTO "nst_metric" VALUES(3,'macs',17216.0,0);
INSERT INTO "nst_metric" VALUES(4,'val_accuracy',8.09917355371900793414e-01,0);
INSERT INTO "nst_metric" VALUES(4,'val_loss',1.01601052284240722656e+00,0);
INSERT INTO "nst_metric" VALUES(4,'parameters',10954.0,0);
INSERT INTO "nst_metric" VALUES(4,'macs',10688.0,0);
INSERT INTO "nst_metric" VALUES(5,'val_accuracy',9.42148760330578483035e-01,0);
INSERT INTO "nst_metric" VALUES(5,'test_accuracy',0.967032967032967,0);
INSERT INTO "nst_metric" VALUES(5,'test_loss',2.41494402289390563964e-01,0);
INSERT INTO "nst_metric" VALUES(5,'parameters',17610.0,0);
INSERT INTO "nst_metric" VALUES(5,'macs',17216.0,0);
INSERT INTO "nst_metric" VALUES(1,'val_accuracy',9.42148760330578483035e-01,0);
INSERT INTO "nst_metric" VALUES(1,'test_accuracy',0.967032967032967,0);
INSERT INTO "nst_metric" VALUES(1,'test_loss',2.41494402289390563964e-01,0);
INSERT INTO "nst_metric" VALUES(1,'parameters',17610.0,0);
INSERT INTO "nst_metric" VALUES(1,'macs',17216.0,0);
INSERT INTO "nst_metric" VALUES(6,'test_accuracy',9.34065934065934078134e-01,0);
INSERT INTO "nst_metric" VALUES(6,'test_loss',4.04106110334396362304e-01,0);
INSERT INTO "nst_metric" VALUES(6,'parameters',17610.0,0);
INSERT INTO "nst_metric" VALUES(6,'macs',17216.0,0);
INSERT INTO "nst_metric" VALUES(6,'bytes_up',1297719.0,0);
INSERT INTO "nst_metric" VALUES(6,'bytes_down',1314060.0,0);
INSERT INTO "nst_metric" VALUES(6,'val_accuracy',9.58188153310104540061e-01,0);
INSERT INTO "nst_metric" VALUES(7,'val_loss',NULL,1);
INSERT INTO "nst_metric" VALUES(7,'worst',NULL,2);
CREATE TABLE nst_metric_point (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	step INTEGER NOT NULL, 
	value DOUBLE, 
	special SMALLINT NOT NULL, 
	CONSTRAINT pk_nst_metric_point PRIMARY KEY (run_id, name, step), 
	CONSTRAINT fk_nst_metric_point_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "nst_metric_point" VALUES(2,'train_loss',1,1.92999505707036678181e+00,0);
INSERT INTO "nst_metric_point" VALUES(2,'train_loss',2,7.87901627237551638316e-01,0);
INSERT INTO "nst_metric_point" VALUES(2,'train_loss',3,5.68599983799123354089e-01,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_accuracy',1,6.94214876033057870508e-01,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_accuracy',2,8.31955922865013741684e-01,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_accuracy',3,0.859504132231405,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_loss',1,1.10711598396301269531e+00,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_loss',2,6.53058528900146484375e-01,0);
INSERT INTO "nst_metric_point" VALUES(2,'val_loss',3,6.00784718990325927734e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'train_loss',1,1.31313152168398694641e+00,0);
INSERT INTO "nst_metric_point" VALUES(3,'train_loss',2,4.0217450690046646633e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'train_loss',3,2.94287929495918421096e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_accuracy',1,8.95316804407713551228e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_accuracy',2,9.36639118457300301479e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_accuracy',3,9.42148760330578483035e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_loss',1,5.53459465503692626953e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_loss',2,3.35889339447021484375e-01,0);
INSERT INTO "nst_metric_point" VALUES(3,'val_loss',3,3.26847046613693237304e-01,0);
INSERT INTO "nst_metric_point" VALUES(4,'train_loss',1,2.09102305675221389336e+00,0);
INSERT INTO "nst_metric_point" VALUES(4,'train_loss',2,1.46563991297071227748e+00,0);
INSERT INTO "nst_metric_point" VALUES(4,'train_loss',3,1.37244522571563720703e+00,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_accuracy',1,7.30027548209366439202e-01,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_accuracy',2,8.07162534435261758147e-01,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_accuracy',3,8.09917355371900793414e-01,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_loss',1,1.19812655448913574218e+00,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_loss',2,1.03143191337585449218e+00,0);
INSERT INTO "nst_metric_point" VALUES(4,'val_loss',3,1.01601052284240722656e+00,0);
INSERT INTO "nst_metric_point" VALUES(5,'train_loss',1,1.21715350903503072288e+00,0);
INSERT INTO "nst_metric_point" VALUES(5,'train_loss',2,3.14024512886751483442e-01,0);
INSERT INTO "nst_metric_point" VALUES(5,'train_loss',3,2.32792454837338541606e-01,0);
INSERT INTO "nst_metric_point" VALUES(7,'loss',1,NULL,1);
INSERT INTO "nst_metric_point" VALUES(7,'loss',2,NULL,2);
INSERT INTO "nst_metric_point" VALUES(7,'loss',3,-1.5,0);
INSERT INTO "nst_metric_point" VALUES(7,'loss',5,NULL,3);
CREATE TABLE nst_round (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	participants INTEGER NOT NULL, 
	rejected INTEGER NOT NULL, 
	loss DOUBLE, 
	loss_special SMALLINT NOT NULL, 
	accuracy DOUBLE, 
	accuracy_special SMALLINT NOT NULL, 
	bytes_up INTEGER NOT NULL, 
	bytes_down INTEGER NOT NULL, 
	seconds DOUBLE NOT NULL, 
	started_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_round PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_nst_round_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
);
INSERT INTO "nst_round" VALUES(6,1,3,0,0.775,0,0.89198606271777,0,432573,4074,5.92721579999988534837e-02,1795876065603436);
INSERT INTO "nst_round" VALUES(6,2,3,0,0.38,0,9.58188153310104540061e-01,0,432573,436662,4.84765649999872039188e-02,1795876065666048);
CREATE TABLE nst_run (
	id INTEGER NOT NULL, 
	uid CHAR(26) NOT NULL, 
	number INTEGER, 
	kind VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	parent_id INTEGER, 
	name TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	config JSON NOT NULL, 
	environment_id INTEGER NOT NULL, 
	dataset_id INTEGER, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	born TEXT, 
	started_us INTEGER NOT NULL, 
	ended_us INTEGER, 
	error TEXT, 
	CONSTRAINT pk_nst_run PRIMARY KEY (id), 
	CONSTRAINT uq_nst_run_uid UNIQUE (uid), 
	CONSTRAINT uq_nst_run_number UNIQUE (number), 
	CONSTRAINT ck_nst_run_kind CHECK (kind IN ('search', 'trial', 'retrain', 'federated')), 
	CONSTRAINT ck_nst_run_state CHECK (state IN ('running', 'completed', 'pruned', 'failed', 'interrupted')), 
	CONSTRAINT fk_nst_run_parent_id FOREIGN KEY(parent_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_environment_id FOREIGN KEY(environment_id) REFERENCES nst_environment (id), 
	CONSTRAINT fk_nst_run_dataset_id FOREIGN KEY(dataset_id) REFERENCES nst_dataset (id)
);
INSERT INTO "nst_run" VALUES(1,'01M8H8W3GWMAP9XZK28YZS8R80',1,'search','completed',NULL,'digits',0,'{"data":"digits","target":null,"trials":3,"seed":0,"space":"mlp","strategy":"tpe","epochs":3,"device":"cpu"}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876064796356,1795876065129280,NULL);
INSERT INTO "nst_run" VALUES(2,'01M8H8W3N0W1VDPDV0NEPJVE0Z',NULL,'trial','completed',1,'digits',8867601057144543979,'{}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876064928487,1795876064946200,NULL);
INSERT INTO "nst_run" VALUES(3,'01M8H8W3PBER9C84SC8HFSDXDK',NULL,'trial','completed',1,'digits',357969636515125329,'{}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876064971741,1795876065005780,NULL);
INSERT INTO "nst_run" VALUES(4,'01M8H8W3R3F58DG0GDQD27SNZQ',NULL,'trial','completed',1,'digits',1134459820640780124,'{}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876065027432,1795876065066272,NULL);
INSERT INTO "nst_run" VALUES(5,'01M8H8W3SXNTDHJAZ3XZE4MMQY',NULL,'retrain','completed',1,'digits',2548299153476258974,'{"trial":"01M8H8W3PBER9C84SC8HFSDXDK"}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876065085233,1795876065125900,NULL);
INSERT INTO "nst_run" VALUES(6,'01M8H8W49W14R9ZNDZ5NRWB6YD',2,'federated','completed',NULL,'digits',0,'{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"encrypted":false,"epochs":2,"workers":2}',1,1,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876065596505,1795876065732066,NULL);
INSERT INTO "nst_run" VALUES(7,'01M8H8W4EJ9A7FPV7J97N7Q39M',3,'search','failed',NULL,'left',1,'{"epochs":1,"trials":1}',1,2,'vm',2420,'e82d386b-9e49-4aec-8475-13116a4a749a/30203',1795876065746752,1795876065755357,'boom');
CREATE TABLE nst_search (
	run_id INTEGER NOT NULL, 
	space TEXT NOT NULL, 
	space_sha256 CHAR(64) NOT NULL, 
	sampler TEXT NOT NULL, 
	pruner TEXT NOT NULL, 
	trials INTEGER NOT NULL, 
	study_name TEXT NOT NULL, 
	CONSTRAINT pk_nst_search PRIMARY KEY (run_id), 
	CONSTRAINT fk_nst_search_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT uq_nst_search_study_name UNIQUE (study_name)
);
INSERT INTO "nst_search" VALUES(1,'mlp','a24c686daf63e316321f5327afa3c982f2807db40d25802e3e47e4fe89a440f5','tpe','median',3,'nasturtium-01M8H8W3GWMAP9XZK28YZS8R80');
INSERT INTO "nst_search" VALUES(7,'mlp','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','tpe','median',1,'nasturtium-01M8H8W4EJ9A7FPV7J97N7Q39M');
CREATE TABLE nst_trial (
	run_id INTEGER NOT NULL, 
	search_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	architecture_id INTEGER NOT NULL, 
	hyperparameters JSON NOT NULL, 
	optuna_number INTEGER, 
	CONSTRAINT pk_nst_trial PRIMARY KEY (run_id), 
	CONSTRAINT uq_nst_trial_search_id_number_attempt UNIQUE (search_id, number, attempt), 
	CONSTRAINT fk_nst_trial_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_search_id FOREIGN KEY(search_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_architecture_id FOREIGN KEY(architecture_id) REFERENCES nst_architecture (id)
);
INSERT INTO "nst_trial" VALUES(2,1,0,1,1,'{"learning_rate":0.003273806395270013,"weight_decay":0.0004934878148654085}',0);
INSERT INTO "nst_trial" VALUES(3,1,1,1,2,'{"learning_rate":0.0031394020330583836,"weight_decay":0.0011229962371650645}',1);
INSERT INTO "nst_trial" VALUES(4,1,2,1,3,'{"learning_rate":0.005837266097988497,"weight_decay":0.002315843453006136}',2);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'nasturtium-01M8H8W3GWMAP9XZK28YZS8R80');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,6.94214876033057870508e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,1,8.95316804407713551228e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,3,1,7.30027548209366439202e-01,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'architecture/hidden/count',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(2,1,'architecture/hidden/0/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(3,1,'architecture/hidden/0/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(4,1,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(5,1,'architecture/hidden/1/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(6,1,'architecture/hidden/2/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(7,1,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(8,1,'architecture/hidden/3/width',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(9,1,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(10,1,'architecture/activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(11,1,'architecture/normalisation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(12,1,'architecture/dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(13,1,'training/learning_rate',3.27380639527001309971e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(14,1,'training/weight_decay',4.93487814865408466573e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(15,2,'architecture/hidden/count',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(16,2,'architecture/hidden/0/width',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(17,2,'architecture/hidden/0/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(18,2,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(19,2,'architecture/hidden/1/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(20,2,'architecture/hidden/2/width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(21,2,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(22,2,'architecture/hidden/3/width',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(23,2,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(24,2,'architecture/activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(25,2,'architecture/normalisation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(26,2,'architecture/dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(27,2,'training/learning_rate',3.1394020330583836259e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(28,2,'training/weight_decay',1.12299623716506451719e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(29,3,'architecture/hidden/count',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(30,3,'architecture/hidden/0/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(31,3,'architecture/hidden/0/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(32,3,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(33,3,'architecture/hidden/1/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(34,3,'architecture/hidden/2/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(35,3,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(36,3,'architecture/hidden/3/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(37,3,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(38,3,'architecture/activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(39,3,'architecture/normalisation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(40,3,'architecture/dropout',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(41,3,'training/learning_rate',5.8372660979884973334e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(42,3,'training/weight_decay',2.31584345300613579643e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.859504132231405,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,9.42148760330578483035e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,8.09917355371900793414e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 14:27:44.902155','2026-11-28 14:27:44.951991');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-28 14:27:44.958285','2026-11-28 14:27:45.009683');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-28 14:27:45.014641','2026-11-28 14:27:45.070197');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE INDEX ix_nst_run_parent_id ON nst_run (parent_id);
CREATE INDEX ix_nst_run_kind_started_us ON nst_run (kind, started_us);
CREATE INDEX ix_nst_trial_architecture_id ON nst_trial (architecture_id);
CREATE INDEX ix_nst_metric_name_value ON nst_metric (name, value);
CREATE INDEX ix_nst_federation_model_run_id ON nst_federation (model_run_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
