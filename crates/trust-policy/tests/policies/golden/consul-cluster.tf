resource "aws_iam_role" "consul_cluster" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          Service = "ec2.amazonaws.com"
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "consul_cluster_permissions" {
  name = "permissions"
  role = aws_iam_role.consul_cluster.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "ec2:DescribeInstances",
          "ec2:DescribeTags",
          "autoscaling:DescribeAutoScalingGroups",
        ]
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role_policy" "consul_cluster_imdsv2_guard" {
  name = "imdsv2-guard"
  role = aws_iam_role.consul_cluster.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ImdsV2CredentialsOnly"
        Effect   = "Deny"
        Action   = "*"
        Resource = "*"
        Condition = {
          NumericLessThan = {
            "ec2:RoleDelivery" = "2.0"
          }
        }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "consul_cluster" {
  role = aws_iam_role.consul_cluster.name
}
